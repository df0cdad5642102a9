"""A real gateway in front of services with a made-up model, for the routes that test and judge."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import openai
import pytest

from tests.integration.processes import start_service
from tests.integration.system_process import SystemProcess, running_system
from ui.cli.connection import Gateway


@dataclass(frozen=True)
class Front:
    url: str
    api: Gateway
    openai: openai.OpenAI
    system: SystemProcess = field(repr=False)


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemProcess]:
    """The services with a made-up model, once for all tests that look at them through a gateway."""
    with running_system(tmp_path_factory.mktemp("system")) as started:
        yield started


@pytest.fixture(scope="package")
def front(system: SystemProcess) -> Iterator[Front]:
    with start_service("gateway", system.folder, port=0, **system.addresses) as one:
        url = f"http://{one.address}"
        with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
            yield Front(url, Gateway(url), client, system)
