"""OpenAI's own client against the gateway's `/v1`, in front of a made-up model."""

import http.client
import json
import re
import time
from contextlib import closing
from typing import Any

import openai
import pytest

from tests.fakes.system.model import ANSWERS, HELLO, OVERFLOW, WEATHER, log_prob, tokens_of
from tests.fakes.system.services import BASE, MODEL, TUNED
from tests.integration.gateway_routes.conftest import Front
from tests.machine import PATIENCE_SECONDS

TOOLS: list[Any] = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]


def _chat(front: Front, text: str, **more: Any) -> Any:
    messages: list[Any] = [{"role": "user", "content": text}]
    return front.openai.chat.completions.create(**{"model": BASE, "messages": messages, **more})


def _streamed(front: Front, text: str, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"text": "", "calls": [], "log_probs": [], "reason": None, "usage": None}
    for chunk in _chat(front, text, stream=True, **more):
        found["usage"] = chunk.usage or found["usage"]
        for choice in chunk.choices:
            found["text"] += choice.delta.content or ""
            found["calls"] += choice.delta.tool_calls or []
            found["log_probs"] += choice.logprobs.content if choice.logprobs else []
            found["reason"] = choice.finish_reason or found["reason"]
    return found


def test_the_models_are_the_registrys_versions(front: Front) -> None:
    # Other tests import further ones.
    assert {model.id for model in front.openai.models.list()} >= {BASE, TUNED}
    assert front.openai.models.retrieve(TUNED).id == TUNED
    assert front.openai.models.retrieve(MODEL).id == TUNED


def test_a_chat_is_answered_with_usage_and_log_probabilities(front: Front) -> None:
    found = _chat(front, "hi", logprobs=True, top_logprobs=2)
    assert found.choices[0].message.content == HELLO
    assert found.choices[0].finish_reason == "stop"
    told = found.choices[0].logprobs.content
    assert [one.token for one in told] == tokens_of(HELLO)
    assert [one.logprob for one in told] == [log_prob(one) for one in tokens_of(HELLO)]
    assert [top.token for top in told[0].top_logprobs] == ["Hello", " x"]
    usage = found.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (1, len(tokens_of(HELLO)))
    assert usage.prompt_tokens_details.cached_tokens == 1


def test_what_is_asked_reaches_the_test_runner(front: Front) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}
    messages = [
        {"role": "developer", "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "rain", "tool_call_id": "c1"},
    ]
    chosen = {"temperature": 0.5, "top_p": 0.9, "seed": 7, "stop": ["END"], "max_completion_tokens": 33}
    _chat(front, "", messages=messages, tools=TOOLS, **chosen, extra_body={"top_k": 4, "min_p": 0.25})
    workload = front.system.model.generations[-1]
    asked, sampling = workload.prompts[0], workload.sampling
    assert workload.adapter is None
    assert [(one.role, one.content, one.tool_call_id) for one in asked.messages] == [
        ("system", "Be brief.", ""),
        ("assistant", "", ""),
        ("tool", "rain", "c1"),
    ]
    assert asked.messages[1].tool_calls[0].arguments == '{"city": "Oslo"}'
    assert list(asked.tools) == TOOLS
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p) == (0.5, 0.9, 4, 0.25)
    assert (sampling.max_new_tokens, asked.seed, list(asked.stop)) == (33, 7, ["END"])


def test_without_a_seed_two_requests_have_different_ones(front: Front) -> None:
    _chat(front, "hi")
    _chat(front, "hi")
    assert len({workload.prompts[0].seed for workload in front.system.model.generations[-2:]}) == 2


@pytest.mark.parametrize(
    ("asked", "text", "count"),
    [("call", "Let me look.", 1), ("bare", None, 1), ("fenced", None, 1), ("two", "Let me look.", 2)],
)
def test_a_call_that_the_model_writes_comes_as_a_tool_call(front: Front, asked: str, text: str, count: int) -> None:
    choice = _chat(front, asked, tools=TOOLS).choices[0]
    assert (choice.message.content, choice.finish_reason) == (text, "tool_calls")
    calls = choice.message.tool_calls
    assert [(one.function.name, json.loads(one.function.arguments)) for one in calls] == [
        ("get_weather", WEATHER["arguments"])
    ] * count
    assert len({one.id for one in calls}) == count
    streamed = _streamed(front, asked, tools=TOOLS)
    assert (streamed["text"] or None, streamed["reason"]) == (text, "tool_calls")
    assert [one.function.arguments for one in streamed["calls"]] == [one.function.arguments for one in calls]
    assert [one.index for one in streamed["calls"]] == list(range(count))


@pytest.mark.parametrize("more", [{}, {"tools": TOOLS, "tool_choice": "none"}])
def test_without_tools_the_answer_stays_text(front: Front, more: dict[str, Any]) -> None:
    choice = _chat(front, "call", **more).choices[0]
    assert (choice.message.content, choice.message.tool_calls) == (ANSWERS["call"], None)
    assert _streamed(front, "call", **more)["text"] == ANSWERS["call"]
    assert not front.system.model.generations[-1].prompts[0].tools


def test_text_that_only_begins_like_a_call_stays_text(front: Front) -> None:
    assert _chat(front, "not a call", tools=TOOLS).choices[0].message.content == ANSWERS["not a call"]
    assert _streamed(front, "not a call", tools=TOOLS)["text"] == ANSWERS["not a call"]


def test_a_stream_brings_the_whole_answer_its_log_probabilities_and_usage(front: Front) -> None:
    found = _streamed(front, "hi", logprobs=True, stream_options={"include_usage": True})
    assert (found["text"], found["reason"]) == (HELLO, "stop")
    assert "".join(one.token for one in found["log_probs"]) == HELLO
    assert found["usage"].completion_tokens == len(tokens_of(HELLO))


def test_several_answers_have_seeds_of_their_own_and_one_prompt(front: Front) -> None:
    found = _chat(front, "hi", n=3, seed=7)
    assert [(one.index, one.message.content) for one in found.choices] == [(0, HELLO), (1, HELLO), (2, HELLO)]
    assert {workload.prompts[0].seed for workload in front.system.model.generations[-3:]} == {7, 8, 9}
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (1, 3 * len(tokens_of(HELLO)))
    texts, usage = {0: "", 1: ""}, None
    for chunk in _chat(front, "hi", n=2, stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == {0: HELLO, 1: HELLO} and usage.completion_tokens == 2 * len(tokens_of(HELLO))
    continued = front.openai.completions.create(model=BASE, prompt=["one", "bare"], max_tokens=50, n=2)
    assert [one.text for one in continued.choices] == [HELLO, HELLO, ANSWERS["bare"], ANSWERS["bare"]]


@pytest.mark.parametrize(
    "more",
    [
        {"tools": TOOLS, "tool_choice": "required"},
        {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "get_weather"}}},
        {"response_format": {"type": "json_object"}},
    ],
)
def test_a_call_that_must_come_and_json_hold_the_model(front: Front, more: dict[str, Any]) -> None:
    _chat(front, "hi", **more)
    held = json.loads(front.system.model.generations[-1].prompts[0].json_schema)
    assert held == {"type": "object"} or "get_weather" in json.dumps(held)


def test_of_calls_that_may_not_be_parallel_one_is_given(front: Front) -> None:
    assert len(_chat(front, "two", tools=TOOLS, parallel_tool_calls=False).choices[0].message.tool_calls) == 1
    assert len(_streamed(front, "two", tools=TOOLS, parallel_tool_calls=False)["calls"]) == 1


def test_a_short_limit_ends_the_answer_with_length(front: Front) -> None:
    choice = _chat(front, "hi", max_tokens=2).choices[0]
    assert (choice.message.content, choice.finish_reason) == ("Hello there", "length")


def test_texts_are_continued(front: Front) -> None:
    found = front.openai.completions.create(model=BASE, prompt=["one", "bare"], max_tokens=50)
    assert [(one.index, one.text, one.finish_reason) for one in found.choices] == [
        (0, HELLO, "stop"),
        (1, ANSWERS["bare"], "stop"),
    ]
    assert found.usage is not None
    assert found.usage.completion_tokens == len(tokens_of(HELLO)) + len(tokens_of(ANSWERS["bare"]))
    asked: dict[str, Any] = {"model": BASE, "prompt": "one", "max_tokens": 50, "stream": True, "logprobs": 0}
    pieces: list[Any] = list(front.openai.completions.create(**asked))
    assert "".join(piece.choices[0].text for piece in pieces) == HELLO
    assert pieces[-1].choices[0].finish_reason == "stop"
    told = [piece.choices[0].logprobs for piece in pieces if piece.choices[0].logprobs]
    offsets = [place for one in told for place in one.text_offset]
    assert [HELLO[place] for place in offsets] == [one[0] for one in tokens_of(HELLO)]


def test_a_prompts_own_log_probabilities_come_without_an_answer(front: Front) -> None:
    prompt = "Paris is the capital"
    found = front.openai.completions.create(model=BASE, prompt=prompt, echo=True, max_tokens=0, logprobs=1)
    choice, told = found.choices[0], found.choices[0].logprobs
    assert told is not None
    assert (choice.text, told.tokens) == (prompt, ["Paris", " is", " the", " capital"])
    assert told.text_offset == [0, 5, 8, 12]
    assert told.token_logprobs == [None, *(log_prob(one) for one in (" is", " the", " capital"))]
    assert found.usage is not None
    assert found.usage.completion_tokens == 0


def test_an_echo_stands_before_the_answer(front: Front) -> None:
    choice = front.openai.completions.create(model=BASE, prompt="one two", echo=True, max_tokens=3, logprobs=0).choices[
        0
    ]
    assert choice.text == "one two" + "".join(tokens_of(HELLO)[:3])
    assert choice.logprobs is not None
    assert choice.logprobs.tokens == ["one", " two", *tokens_of(HELLO)[:3]]


@pytest.mark.parametrize(("prompt", "texts"), [([5, 7], ["t5 t7"]), ([[5], [7, 9]], ["t5", "t7 t9"])])
@pytest.mark.parametrize("log_probs", [None, 1])
def test_token_ids_are_continued_as_they_are(
    front: Front, prompt: Any, texts: list[str], log_probs: int | None
) -> None:
    more: dict[str, Any] = {} if log_probs is None else {"logprobs": log_probs}
    found = front.openai.completions.create(model=BASE, prompt=prompt, echo=True, max_tokens=1, **more)
    assert [one.text for one in found.choices] == [f"{text}Hello" for text in texts]
    for choice, text in zip(found.choices, texts, strict=True):
        assert (choice.logprobs and choice.logprobs.tokens) == (log_probs and [*tokens_of(text), "Hello"])
    plain = front.openai.completions.create(model=BASE, prompt=prompt, max_tokens=50)
    assert [one.text for one in plain.choices] == [HELLO] * len(texts)


@pytest.mark.parametrize("prompt", [[], [[]], [-1], [1, "two"], [True], [[1], 2], [1.5]])
def test_what_is_neither_texts_nor_token_ids_is_refused(front: Front, prompt: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        front.openai.completions.create(model=BASE, prompt=prompt)
    assert "prompt" in str(caught.value)


def test_ids_of_calls_fit_every_template(front: Front) -> None:
    message = _chat(front, "two", tools=TOOLS).choices[0].message
    ids = [call.id for call in message.tool_calls]
    assert len({*ids}) == 2 and all(re.fullmatch("[a-zA-Z0-9]{9}", one) for one in ids)


@pytest.mark.parametrize(
    ("more", "status", "code", "said"),
    [
        ({"model": "nosuch"}, 404, "model_not_found", "nosuch"),
        ({"messages": [{"role": "user", "content": "overflow"}]}, 400, "context_length_exceeded", OVERFLOW),
        ({"messages": [{"role": "user", "content": "unbuilt"}]}, 501, "unimplemented", "not built"),
        ({"messages": [{"role": "user", "content": "fault"}]}, 502, "backend_fault", "The worker died."),
        ({"messages": []}, 400, "invalid_value", "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "invalid_value", "image_url"),
        ({"n": 17}, 400, "invalid_value", "n:"),
        ({"tool_choice": "required"}, 400, "invalid_value", "tool_choice"),
        ({"temperature": -1}, 400, "invalid_value", "temperature"),
        ({"logit_bias": {"5": 1}}, 400, "invalid_value", "logit_bias"),
        ({"top_logprobs": 3}, 400, "invalid_value", "logprobs"),
        ({"response_format": {"type": "json_schema"}}, 400, "invalid_value", "response_format"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_answered_is_told_in_openais_shape(
    front: Front, more: dict[str, Any], status: int, code: str, said: str, stream: bool
) -> None:
    with pytest.raises(openai.APIError) as caught:
        list(_chat(front, "hi", stream=stream, **more))
    body: Any = caught.value.body
    assert set(body) == {"message", "type", "param", "code"}
    assert (body["code"], body["type"]) == (code, "invalid_request_error" if status < 500 else "server_error")
    assert said in body["message"]
    # A fault after the first words of a stream cannot change its status any more.
    if not (stream and code == "backend_fault"):
        assert isinstance(caught.value, openai.APIStatusError)
        assert caught.value.status_code == status


def test_a_route_that_is_not_there_names_those_that_are(front: Front) -> None:
    with pytest.raises(openai.NotFoundError, match="POST /v1/completions"):
        front.openai.embeddings.create(model=BASE, input="x")


def _wait_until_broken_off(front: Front, count: int) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while front.system.model.num_broken_off < count:
        assert time.monotonic() < end, "the generation goes on"
        time.sleep(0.02)


def test_a_reader_who_leaves_a_stream_ends_the_generation(front: Front) -> None:
    before = front.system.model.num_broken_off
    stream = _chat(front, "forever", stream=True, max_tokens=8192)
    next(iter(stream))
    stream.close()
    _wait_until_broken_off(front, before + 1)


def test_a_reader_who_hangs_up_ends_the_generation(front: Front) -> None:
    model, messages = front.system.model, [{"role": "user", "content": "forever"}]
    body = {"model": BASE, "messages": messages, "max_tokens": 8192}
    before, num_begun = model.num_broken_off, len(model.generations)
    with closing(http.client.HTTPConnection(front.url.removeprefix("http://"))) as connection:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        end = time.monotonic() + PATIENCE_SECONDS
        while len(model.generations) == num_begun:
            assert time.monotonic() < end, "no generation begins"
            time.sleep(0.02)
    _wait_until_broken_off(front, before + 1)
