"""What ends with every unit test."""

from collections.abc import Iterator

import pytest

from tests.fakes.databases import take_back


@pytest.fixture(autouse=True)
def databases_end() -> Iterator[None]:
    yield
    take_back()
