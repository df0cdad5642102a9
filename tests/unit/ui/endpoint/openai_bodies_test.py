"""What OpenAI's routes read of a request's body."""

from __future__ import annotations

from typing import Any

import pytest
from drillyard.test_runner.v1.transcript_pb2 import GenerateRequest, Message, ToolCall
from pydantic import ValidationError

from services.chassis.channel import MAX_MESSAGE_BYTES
from ui.openai.errors import OpenAIError
from ui.openai.generation import call_documents, choices_of
from ui.openai.schemas import ChatBody, CompletionBody

ASKED = [{"role": "user", "content": "a"}]


def after_a_call(**function: Any) -> list[dict[str, Any]]:
    call = {"id": "c00000000", "type": "function", "function": {"name": "f", **function}}
    return [*ASKED, {"role": "assistant", "content": None, "tool_calls": [call]}]


@pytest.mark.parametrize("name", ["parameters", "args", "input"])
def test_arguments_of_a_call_under_another_name_are_refused_and_not_thrown_away(name: str) -> None:
    with pytest.raises(ValidationError, match=f"not in {name}"):
        ChatBody.model_validate({"model": "m", "messages": after_a_call(**{name: {"x": 1}})})


def test_null_is_what_an_absent_field_is() -> None:
    names = ("temperature", "top_p", "n", "stream", "frequency_penalty", "presence_penalty", "stop", "tools", "seed")
    body = ChatBody.model_validate({"model": "m", "messages": ASKED, **dict.fromkeys(names)})
    assert body == ChatBody.model_validate({"model": "m", "messages": ASKED})
    spoken = [{**ASKED[0], "tool_call_id": None, "tool_calls": None}]
    assert ChatBody.model_validate({"model": "m", "messages": spoken}).messages == body.messages
    assert CompletionBody.model_validate({"model": "m", "prompt": [1, 2], "temperature": None}).prompts == [[1, 2]]
    with pytest.raises(ValidationError, match="prompt"):
        CompletionBody.model_validate({"model": "m", "prompt": None})


def test_every_call_has_an_id_of_its_own_unless_it_came_with_one() -> None:
    call = ToolCall(name="look", arguments='{"at": "x"}')
    first, second, third = call_documents([call, call, ToolCall(tool_call_id="c-1", name="look")])
    assert first["id"] != second["id"]
    assert third["id"] == "c-1"
    assert first["function"] == {"name": "look", "arguments": '{"at": "x"}'}


def test_a_request_that_no_service_takes_is_not_copied_for_each_choice() -> None:
    request = GenerateRequest(messages=[Message(role="user", content="a" * 1000)], seed=5)
    assert [(each.seed, each.messages) for each in choices_of(request, 2)] == [
        (5, request.messages),
        (6, request.messages),
    ]
    request.messages[0].content = "a" * MAX_MESSAGE_BYTES
    with pytest.raises(OpenAIError, match="16 MiB") as caught:
        choices_of(request, 16)
    assert (caught.value.status, caught.value.code) == (413, "request_too_large")
