"""What an endpoint's kind and context change in what it is asked."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from services.chassis.machine.secrets import Secrets
from services.test_runner.backends.openai_endpoint import backend as openai_endpoint
from services.test_runner.backends.openai_endpoint.backend import OpenAiEndpointBackend
from services.test_runner.backends.openai_endpoint.facts import Facts
from services.test_runner.backends.openai_endpoint.gates import Gate
from services.test_runner.backends.openai_endpoint.policy import OperatorPolicy
from services.test_runner.domain.transcript import FinishReason, Message
from services.test_runner.ports.generation import Activity, Answer, GenerationEvent, Prepared, Prompt, Workload
from tests.fakes import endpoint as fake
from tests.fakes.endpoint import FakeEndpoint, running, says
from tests.unit import run_specs as specs


def new_backend() -> OpenAiEndpointBackend:
    return OpenAiEndpointBackend(OperatorPolicy((), Secrets("TEST_RUNNER_", None, {})))


def task_for(server: FakeEndpoint, **choices: Any) -> Workload:
    endpoint = specs.endpoint(server.base_url, fake.MODEL, **choices)
    return Workload(None, None, (Prompt("p", (Message("user", "task"),), 1),), specs.sampling(), endpoint=endpoint)


async def told(server: FakeEndpoint, **choices: Any) -> list[GenerationEvent]:
    backend = new_backend()
    try:
        events = backend.generate(task_for(server, **choices))
        return [event async for event in events if not isinstance(event, Activity)]
    finally:
        await backend.close()


async def test_a_prompt_is_counted_with_what_the_extra_body_tells_the_template() -> None:
    routes = {
        "/v1/models": {"data": [{"id": fake.MODEL, "owned_by": "llamacpp"}]},
        "/props": {"default_generation_settings": {"n_ctx": 300}},
        "/apply-template": lambda request: {"prompt": "long" if request.body.get("chat_template_kwargs") else "short"},
        "/tokenize": lambda request: {"tokens": [0] * (400 if request.body["content"] == "long" else 40)},
    }
    extra = '{"chat_template_kwargs": {"thinking": true}}'
    async with running(says("never"), routes=routes) as server:
        *_, answer = await told(server, extra_body=extra)
    assert isinstance(answer, Answer)
    assert (answer.finish_reason, answer.num_prompt_tokens) == (FinishReason.CONTEXT_OVERFLOW, 400)


async def test_ollamas_context_is_known_and_recorded() -> None:
    routes = {
        "/v1/models": {"data": [{"id": fake.MODEL, "owned_by": "library"}]},
        "/api/show": {"parameters": "stop x\nnum_ctx 300\n"},
    }
    async with running(says("cut", usage={"prompt_tokens": 250, "completion_tokens": 1}), routes=routes) as server:
        prepared, answer = await told(server)
    assert isinstance(prepared, Prepared) and isinstance(answer, Answer)
    assert prepared.environment.endpoint["context"] == "300"
    assert answer.finish_reason is FinishReason.CONTEXT_OVERFLOW


async def test_servers_that_are_asked_no_more_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    def num_kept() -> int:
        gc.collect()
        # `isinstance` would ask lazy objects of other libraries for their class.
        return sum(type(item) in (Facts, Gate) for item in gc.get_objects())

    monkeypatch.setattr(openai_endpoint, "_FACTS_SECONDS", 0.0)
    backend, num_before = new_backend(), num_kept()
    for _ in range(3):
        async with running(says("done")) as server:
            events = [event async for event in backend.generate(task_for(server))]
        assert any(isinstance(event, Answer) for event in events)
    assert num_kept() - num_before <= 2
    await backend.close()
