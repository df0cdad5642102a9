"""A real gateway in front of made-up services, for the routes that test and judge."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import openai
import pytest

from tests.fakes.system import rows
from tests.fakes.system.background import served
from tests.integration.processes import start_service
from ui.cli.connection import Gateway


@dataclass(frozen=True)
class Front:
    url: str
    api: Gateway
    openai: openai.OpenAI
    world: rows.World = field(repr=False)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    world, folder = rows.make_world(), tmp_path_factory.mktemp("front")
    with served(world) as addresses, start_service("gateway", folder, port=0, **addresses) as one:
        url = f"http://{one.address}"
        with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
            yield Front(url, Gateway(url), client, world)
