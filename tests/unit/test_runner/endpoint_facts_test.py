"""What an endpoint's kind and context change in what it is asked."""

from __future__ import annotations

from typing import Any

from services.test_runner.backends.openai_endpoint.backend import OpenAiEndpointBackend
from services.test_runner.backends.openai_endpoint.policy import EndpointKeys, OperatorPolicy
from services.test_runner.domain import FinishReason, Message
from services.test_runner.ports import Activity, Answer, GenerationEvent, Prepared, Prompt, Workload
from tests.fakes import endpoint as fake
from tests.fakes.endpoint import FakeEndpoint, running, says
from tests.unit import run_specs as specs


async def told(server: FakeEndpoint, **choices: Any) -> list[GenerationEvent]:
    backend = OpenAiEndpointBackend(OperatorPolicy((), EndpointKeys(None, {})))
    endpoint = specs.endpoint(server.base_url, fake.MODEL, **choices)
    asked = Workload(None, None, (Prompt("p", (Message("user", "task"),), 1),), specs.sampling(), endpoint=endpoint)
    try:
        return [event async for event in backend.generate(asked) if not isinstance(event, Activity)]
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
