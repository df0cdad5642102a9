"""The services with a made-up model, once for all tests that look at them through a gateway."""

from collections.abc import Iterator

import pytest

from tests.fakes.system.background import in_background
from tests.fakes.system.services import System, serve


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with in_background(serve(tmp_path_factory.mktemp("system"))) as started:
        yield started
