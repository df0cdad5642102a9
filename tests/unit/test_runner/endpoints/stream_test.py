"""Answers in the forms that servers have besides OpenAI's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.test_runner.domain.endpoint import Departure
from services.test_runner.domain.transcript import FinishReason
from services.test_runner.ports.generation import Prompt
from tests.fakes.endpoint import chunk, running, streams, writes
from tests.unit.test_runner.endpoints.asking import answer_of

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\nconnection: close\r\n\r\n"
ONE, TWO, END = (json.dumps(each) for each in (chunk({"content": "Hel"}), chunk({"content": "lo"}), chunk({}, "stop")))
_MESSAGE = {"role": "assistant", "content": "Hello"}
WHOLE = json.dumps(
    {"choices": [{"index": 0, "message": _MESSAGE, "finish_reason": "stop"}], "usage": {"prompt_tokens": 5}}
)


def sse(content: str, kind: bytes = b"text/event-stream") -> bytes:
    return _HEAD % kind + content.encode()


FRAMES = {
    "CRLF": sse(f"data: {ONE}\r\n\r\ndata: {TWO}\r\n\r\ndata: {END}\r\n\r\ndata: [DONE]\r\n\r\n"),
    "no blank behind the colon": sse(f"data:{ONE}\n\ndata:{TWO}\n\ndata:{END}\n\ndata:[DONE]\n\n"),
    "a mark of the byte order": sse(f"\ufeffdata: {ONE}\n\ndata: {TWO}\n\ndata: {END}\n\ndata: [DONE]\n\n"),
    "comments between": sse(f": ping\n\ndata: {ONE}\n\n: OPENROUTER PROCESSING\n\ndata: {TWO}\n\n:\n\ndata: {END}\n\n"),
    "data in several lines": sse(
        "".join(
            "".join(f"data: {line}\n" for line in json.dumps(json.loads(each), indent=1).splitlines()) + "\n"
            for each in (ONE, TWO, END)
        )
    ),
    "names and ids of events": sse(
        f"event: message\nid: 1\ndata: {ONE}\n\nid: 2\nretry: 9\ndata: {TWO}\n\ndata: {END}\n\n"
    ),
    "no blank lines between": sse(f"data: {ONE}\ndata: {TWO}\ndata: {END}\ndata: [DONE]\n\n"),
    "another content type": sse(f"data: {ONE}\n\ndata: {TWO}\n\ndata: {END}\n\n", b"application/octet-stream"),
    "in one piece": sse(WHOLE, b"application/json"),
    "in one piece, as a stream": sse(f"data: {WHOLE}\n\ndata: [DONE]\n\n"),
    "in one piece, indented": sse("\ufeff\n" + json.dumps(json.loads(WHOLE), indent=2), b"application/json"),
}


@pytest.mark.parametrize("kind", FRAMES)
async def test_an_answer_is_the_same_in_every_frame(kind: str) -> None:
    async with running(writes(FRAMES[kind])) as server:
        answer = await answer_of(server, max_tries=1)
    assert (answer.text, answer.finish_reason, answer.detail.count("reason for")) == ("Hello", FinishReason.STOP, 0)


PARTS = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
CONTENTS: dict[str, tuple[list[Any], set[Departure]]] = {
    "a list of parts": ([chunk({"content": PARTS}), chunk({}, "stop")], {Departure.CONTENT_PARTS}),
    "one part": ([chunk({"content": PARTS[1]}), chunk({"content": ["lo"]}, "stop")], {Departure.CONTENT_PARTS}),
    "null before": ([chunk({"role": "assistant", "content": None}), chunk({"content": "Hello"}, "stop")], set()),
    "a message for a delta": (
        [{"choices": [{"message": {"content": text}}]} for text in ("Hel", "lo")] + [chunk({}, "stop")],
        {Departure.MESSAGE},
    ),
    "pieces and the message": (
        [
            chunk({"content": "Hel"}),
            chunk({"content": "lo"}),
            {"choices": [{"message": _MESSAGE, "finish_reason": "stop"}]},
        ],
        set(),
    ),
    "text for a delta": (
        [
            {"choices": [{"index": 0, "text": "Hello", "finish_reason": None}]},
            {"choices": [{"text": "", "finish_reason": "stop"}]},
        ],
        {Departure.TEXT},
    ),
    "a refusal": ([chunk({"refusal": "Hel"}), chunk({"refusal": "lo"}, "stop")], {Departure.REFUSAL}),
    "usage before and after": (
        [
            {"choices": [], "usage": {"prompt_tokens": 1}},
            chunk({"content": "Hello"}, "stop"),
            {"usage": {"prompt_tokens": 7}},
        ],
        set(),
    ),
    "reasoning besides": ([chunk({"reasoning_content": "hm"}), chunk({"content": "Hello"}, "stop")], set()),
}


@pytest.mark.parametrize("kind", CONTENTS)
async def test_what_the_model_said_is_found_where_a_server_puts_it(kind: str) -> None:
    chunks, departures = CONTENTS[kind]
    async with running(streams(*chunks)) as server:
        answer = await answer_of(server, max_tries=1)
    assert (answer.text, answer.finish_reason) == ("Hello", FinishReason.STOP)
    assert set(answer.departures) == departures
    assert all(departure.sentence in answer.detail for departure in departures)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
async def test_an_answer_that_is_all_reasoning_is_the_servers_doing(name: str) -> None:
    async with running(streams(chunk({name: "<tool_call>"}), chunk({name: "…"}), chunk({}, "stop"))) as server:
        answer = await answer_of(server)
    assert (answer.finish_reason, len(server.asked)) == (FinishReason.BACKEND_FAULT, 1)
    assert "reasoning" in answer.detail


async def test_calls_that_a_server_announces_and_keeps_are_its_doing() -> None:
    async with running(streams(chunk({"content": ""}), chunk({}, "tool_calls"))) as server:
        answer = await answer_of(server)
    assert answer.finish_reason is FinishReason.BACKEND_FAULT
    assert "functions are called" in answer.detail


async def test_a_text_that_is_continued_is_no_departure() -> None:
    script = streams({"choices": [{"text": " world", "finish_reason": "stop"}]})
    for asked, sent in ({"text": "hello"}, "hello"), ({"token_ids": (5, 7)}, [5, 7]):
        async with running(script) as server:
            answer = await answer_of(server, Prompt("p", (), 0, **asked))
        assert (answer.text, answer.departures, answer.detail) == (" world", (), "")
        assert server.asked[0].body["prompt"] == sent


async def test_reasoning_that_the_limit_cut_stays_the_limits_doing() -> None:
    async with running(streams(chunk({"reasoning_content": "hm"}), chunk({}, "length"))) as server:
        assert (await answer_of(server)).finish_reason is FinishReason.LENGTH


@pytest.mark.parametrize(
    "said",
    [
        '{"error": "model crashed"}',
        '{"object": "error", "message": "model crashed", "code": 500}',
        '{"error": {"message": "model crashed", "code": 500}}',
    ],
)
async def test_an_error_with_status_200_is_no_answer(said: str) -> None:
    for content in (sse(f"data: {said}\n\n"), sse(said, b"application/json")):
        async with running(writes(content)) as server:
            answer = await answer_of(server, max_tries=1)
        assert answer.finish_reason is FinishReason.BACKEND_FAULT
        assert "model crashed" in answer.detail
