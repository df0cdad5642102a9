"""What ends with every unit test."""

from collections.abc import Iterator

import pytest

from tests.fakes.databases import close_databases


@pytest.fixture(autouse=True)
def databases_end() -> Iterator[None]:
    yield
    close_databases()
