"""The real stack: gateway, registry, test runner, evaluator, trainer and a tiny random model."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import openai
import pytest
import pytest_asyncio

from tests.integration.processes import ServiceProcess, start_service
from tests.integration.tiny_stack import TinyStack, tiny_stack


@dataclass
class Real:
    url: str
    client: openai.AsyncOpenAI
    stack: TinyStack
    evaluator: ServiceProcess
    trainer: ServiceProcess


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def real(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Real]:
    folder = tmp_path_factory.mktemp("real")
    async with tiny_stack(folder, num_cases=4, window_size=4, max_workers=3) as stack:
        addresses = {"registry_address": stack.registry.address, "test_runner_address": stack.runner.address}
        with (
            start_service("evaluator", folder, **addresses) as evaluator,
            start_service("trainer", folder, registry_address=stack.registry.address, dtype="float32") as trainer,
            start_service(
                "gateway",
                folder,
                port=0,
                evaluator_address=evaluator.address,
                trainer_address=trainer.address,
                **addresses,
            ) as gateway,
        ):
            url = f"http://{gateway.address}"
            async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
                yield Real(url, client, stack, evaluator, trainer)
