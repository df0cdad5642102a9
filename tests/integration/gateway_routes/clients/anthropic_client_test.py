"""Anthropic's own client against the gateway's `/v1/messages`, in front of a made-up model."""

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from tests.fakes.system.model import HELLO, OVERFLOW, WEATHER, tokens_of
from tests.fakes.system.services import BASE
from tests.integration.gateway_routes.conftest import Front

TOOLS: list[Any] = [{"name": "get_weather", "description": "Say it.", "input_schema": {"type": "object"}}]
OFFERED = {"name": "get_weather", "description": "Say it.", "parameters": {"type": "object"}}


@pytest.fixture(scope="module")
def client(front: Front) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=front.url, api_key="none", max_retries=0) as client:
        yield client


def _asked(text: str, **more: Any) -> dict[str, Any]:
    return {"model": BASE, "max_tokens": 500, "messages": [{"role": "user", "content": text}], **more}


def _whole(client: anthropic.Anthropic, text: str, **more: Any) -> Any:
    return client.messages.create(**_asked(text, **more))


def _streamed(client: anthropic.Anthropic, text: str, **more: Any) -> anthropic.types.Message:
    with client.messages.stream(**_asked(text, **more)) as stream:
        return stream.get_final_message()


@pytest.mark.parametrize("ask", [_whole, _streamed])
def test_a_conversation_is_answered_with_usage_and_the_reason_of_its_end(client: anthropic.Anthropic, ask: Any) -> None:
    message = ask(client, "hi")
    assert [(block.type, block.text) for block in message.content] == [("text", HELLO)]
    assert (message.stop_reason, message.role, message.model) == ("end_turn", "assistant", BASE)
    usage = message.usage
    assert (usage.input_tokens + usage.cache_read_input_tokens, usage.output_tokens) == (1, len(tokens_of(HELLO)))
    assert ask(client, "hi", max_tokens=2).stop_reason == "max_tokens"


def test_the_tokens_of_a_conversation_are_counted_as_the_model_reads_them(client: anthropic.Anthropic) -> None:
    messages: list[Any] = [{"role": "user", "content": "Rain in Oslo?"}, {"role": "assistant", "content": "Yes."}]
    messages.append({"role": "user", "content": "Why?"})
    counted = client.messages.count_tokens(model=BASE, system="Be brief.", messages=messages, tools=TOOLS)
    said = [("system", "Be brief."), *((message["role"], message["content"]) for message in messages)]
    text = "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in said)
    assert counted.input_tokens == len(tokens_of(text))
    with pytest.raises(anthropic.NotFoundError, match="nosuch"):
        client.messages.count_tokens(model="nosuch", messages=messages)


@pytest.mark.parametrize("ask", [_whole, _streamed])
@pytest.mark.parametrize(
    ("asked", "text", "count"), [("call", "Let me look.", 1), ("bare", "", 1), ("two", "Let me look.", 2)]
)
def test_calls_come_as_blocks_with_their_arguments(
    client: anthropic.Anthropic, ask: Any, asked: str, text: str, count: int
) -> None:
    message = ask(client, asked, tools=TOOLS)
    calls = [block for block in message.content if block.type == "tool_use"]
    assert [(call.name, call.input) for call in calls] == [("get_weather", WEATHER["arguments"])] * count
    assert len({call.id for call in calls}) == count and message.stop_reason == "tool_use"
    assert "".join(block.text for block in message.content if block.type == "text").strip() == text
    one = ask(client, asked, tools=TOOLS, tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    assert [block.type for block in one.content].count("tool_use") == 1


def test_what_is_asked_reaches_the_test_runner(client: anthropic.Anthropic, front: Front) -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Oslo"}}
    rain = [{"type": "text", "text": "rain"}]
    messages: list[Any] = [
        {"role": "user", "content": [{"type": "text", "text": "Look ", "cache_control": {"type": "ephemeral"}}]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm.", "signature": "s"}, call]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": rain}]},
    ]
    messages[2]["content"].append({"type": "text", "text": "And now?"})
    # The client's own newest version has no fields for these.
    sampling = {"temperature": 0.5, "top_p": 0.9, "top_k": 4}
    system = [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]
    more = {"messages": messages, "system": system, "tools": TOOLS, "thinking": {"type": "adaptive"}}
    _whole(client, "", **more, stop_sequences=["END"], extra_body=sampling)
    workload = front.system.model.generations[-1]
    asked, taken = workload.prompts[0], workload.sampling
    assert [(each.role, each.content, each.tool_call_id) for each in asked.messages] == [
        ("system", "Be brief.", ""),
        ("user", "Look ", ""),
        ("assistant", "", ""),
        ("tool", "rain", "toolu_1"),
        ("user", "And now?", ""),
    ]
    (asked_call,) = asked.messages[2].tool_calls
    assert (asked_call.tool_call_id, asked_call.arguments) == ("toolu_1", '{"city": "Oslo"}')
    assert [tool["function"] for tool in asked.tools] == [OFFERED]
    assert (taken.temperature, taken.top_p, taken.top_k) == (0.5, 0.9, 4)
    assert (taken.max_new_tokens, list(asked.stop)) == (500, ["END"])


@pytest.mark.parametrize(
    "more",
    [
        {"tools": TOOLS, "tool_choice": {"type": "any"}},
        {"tools": TOOLS, "tool_choice": {"type": "tool", "name": "get_weather"}},
        {"output_config": {"format": {"type": "json_schema", "schema": {"title": "get_weather"}}}},
    ],
)
def test_a_call_that_must_come_and_json_hold_the_model(
    client: anthropic.Anthropic, front: Front, more: dict[str, Any]
) -> None:
    _whole(client, "hi", **more)
    assert "get_weather" in front.system.model.generations[-1].prompts[0].json_schema


IMAGE = [{"type": "image", "source": {"type": "url", "url": "https://example.org/x.png"}}]


@pytest.mark.parametrize(
    ("more", "status", "kind", "said"),
    [
        ({"model": "nosuch"}, 404, "not_found_error", "nosuch"),
        ({"messages": [{"role": "user", "content": "overflow"}]}, 400, "invalid_request_error", OVERFLOW),
        ({"messages": [{"role": "user", "content": "unbuilt"}]}, 501, "api_error", "not built"),
        ({"messages": [{"role": "user", "content": IMAGE}]}, 400, "invalid_request_error", "'image' cannot be read"),
        ({"messages": [{"role": "assistant", "content": "I"}]}, 400, "invalid_request_error", "gone on with"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, 400, "invalid_request_error", "functions"),
        (
            {"tools": TOOLS, "tool_choice": {"type": "tool", "name": "x"}},
            400,
            "invalid_request_error",
            "none of the tools",
        ),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, 400, "invalid_request_error", "set length"),
        ({"max_tokens": 0}, 400, "invalid_request_error", "max_tokens"),
        ({"extra_body": {"temperature": -1}}, 400, "invalid_request_error", "temperature"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_answered_is_told_in_anthropics_shape(
    client: anthropic.Anthropic, more: dict[str, Any], status: int, kind: str, said: str, stream: bool
) -> None:
    with pytest.raises(anthropic.APIStatusError) as caught:
        list(client.messages.create(**_asked("hi", **more, stream=stream)))
    error = caught.value
    assert (error.status_code, error.type) == (status, kind)
    assert error.api_message is not None and said in error.api_message


def test_a_fault_after_the_first_words_of_a_stream_is_its_last_event(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.APIStatusError, match=r"The worker died\.") as caught:
        list(client.messages.create(**_asked("fault", stream=True)))
    assert caught.value.type == "api_error"
