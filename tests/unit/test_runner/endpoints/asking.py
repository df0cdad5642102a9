"""What the endpoint backend makes of a fake server's answers."""

from __future__ import annotations

from typing import Any

from services.chassis.machine.secrets import Secrets
from services.test_runner.backends.openai_endpoint.backend import OpenAiEndpointBackend
from services.test_runner.backends.openai_endpoint.policy import OperatorPolicy
from services.test_runner.domain.transcript import Message
from services.test_runner.ports.generation import Answer, GenerationEvent, Prompt, Workload
from tests.fakes import endpoint as fake
from tests.fakes.endpoint import FakeEndpoint
from tests.unit import run_specs as specs

TOOL = {"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}


async def events_of(server: FakeEndpoint, *prompts: Prompt, **choices: Any) -> list[GenerationEvent]:
    """Return all that comes for these prompts, or for one task."""
    max_tries, queue = choices.pop("max_tries", 5), choices.pop("queue", None)
    backend = OpenAiEndpointBackend(
        OperatorPolicy((), Secrets("TEST_RUNNER_", None, {})), max_tries=max_tries, queue=queue
    )
    run = {"test_run_id": choices.pop("test_run_id", "")}
    sampling = specs.sampling(max_new_tokens=choices.pop("max_new_tokens", 192))
    asked = prompts or (Prompt("p", (Message("user", "task"),), 1, timeout_seconds=20.0),)
    endpoint = specs.endpoint(server.base_url, fake.MODEL, **choices)
    workload = Workload(None, None, asked, sampling, endpoint=endpoint, **run)
    try:
        return [event async for event in backend.generate(workload)]
    finally:
        await backend.close()


async def answers_of(server: FakeEndpoint, *prompts: Prompt, **choices: Any) -> list[Answer]:
    """Return the answers."""
    return [event for event in await events_of(server, *prompts, **choices) if isinstance(event, Answer)]


async def answer_of(server: FakeEndpoint, *prompts: Prompt, **choices: Any) -> Answer:
    """Return the only answer."""
    (answer,) = await answers_of(server, *prompts, **choices)
    return answer
