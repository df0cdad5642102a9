"""What llama.cpp's server says of itself, and what follows from it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.chassis.errors import FailedPrecondition
from services.test_runner.domain.endpoint import ToolMode
from services.test_runner.domain.transcript import FinishReason, Message, ToolCall
from services.test_runner.ports.generation import Prepared, Prompt
from tests.fakes import endpoint as fake
from tests.fakes.endpoint import running, says
from tests.unit.test_runner.endpoints.asking import TOOL, answer_of, events_of

OFFERS = Prompt("p", (Message("user", "task"),), 1, (TOOL,), timeout_seconds=20.0)
ADAPTERS = [{"id": 0, "path": "/models/first.gguf", "scale": 1.0}, {"id": 3, "path": "second.gguf", "scale": 0.25}]


def routes(*, adapters: Any = (), **props: Any) -> dict[str, Any]:
    return {
        "/v1/models": {"data": [{"id": fake.MODEL, "owned_by": "llamacpp"}]},
        "/props": {"chat_template": "T", "total_slots": 4, **props},
        "/lora-adapters": list(adapters),
    }


async def asked_with(adapters: Any, **choices: Any) -> tuple[dict[str, Any], str]:
    async with running(says("x"), routes=routes(adapters=adapters)) as server:
        events = await events_of(server, **choices)
        prepared = next(event for event in events if isinstance(event, Prepared))
    return server.asked[0].body, prepared.environment.endpoint.get("adapters", "")


async def test_each_request_names_the_adapters_and_leaves_the_cache_of_other_scales_alone() -> None:
    body, told = await asked_with(ADAPTERS)
    assert body["lora"] == [{"id": 0, "scale": 1.0}, {"id": 3, "scale": 0.25}]
    assert body["cache_prompt"] is False
    assert told == "first.gguf × 1, second.gguf × 0.25"


async def test_scales_that_the_run_chooses_are_those_that_are_recorded() -> None:
    chosen = [{"id": 3, "scale": 0.5}]
    body, told = await asked_with(ADAPTERS, extra_body=json.dumps({"lora": chosen}))
    assert (body["lora"], body["cache_prompt"]) == (chosen, False)
    assert told == "first.gguf × 0, second.gguf × 0.5"


@pytest.mark.parametrize("adapters", [[], ["x"], [{"id": "0", "scale": None}]])
async def test_a_server_without_adapters_keeps_its_cache(adapters: Any) -> None:
    body, told = await asked_with(adapters)
    assert not body.keys() & {"lora", "cache_prompt"}
    assert told == ""


async def test_functions_that_the_server_drops_are_refused_before_any_is_asked() -> None:
    async with running(says("x"), routes=routes(chat_template_caps={"supports_tools": False})) as server:
        with pytest.raises(FailedPrecondition, match="drops the functions"):
            await answer_of(server, OFFERS, tool_mode=ToolMode.NATIVE)
        assert not server.asked
        for prompt, mode in ((OFFERS, ToolMode.PROMPT), (Prompt("q", OFFERS.messages, 1), ToolMode.NATIVE)):
            assert (await answer_of(server, prompt, tool_mode=mode)).finish_reason is FinishReason.STOP


async def test_functions_that_the_server_shows_are_offered() -> None:
    async with running(says("x"), routes=routes(chat_template_caps={"supports_tools": True})) as server:
        await answer_of(server, OFFERS, tool_mode=ToolMode.NATIVE)
    assert server.asked[0].body["tools"] == [TOOL]


async def test_names_of_earlier_calls_hold_what_every_server_takes() -> None:
    called = Message("assistant", "", (ToolCall("c00000000", "stock.find: all", "{}"),))
    messages = (Message("user", "x"), called, Message("tool", "1", tool_call_id="c00000000"))
    async with running(says("x")) as server:
        await answer_of(server, Prompt("p", messages, 1))
    assert server.asked[0].body["messages"][1]["tool_calls"][0]["function"]["name"] == "stock_find__all"
