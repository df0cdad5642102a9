"""Parallel calls in every numbering that servers have for them."""

from __future__ import annotations

from typing import Any

import pytest

from services.test_runner.backends.openai_endpoint.calls import CallAssembly, GarbledError
from services.test_runner.backends.openai_endpoint.reply import Reply
from services.test_runner.domain.endpoint import Departure
from services.test_runner.domain.transcript import FinishReason

A, B = '{"sku": "S-1", "n": 3}', '{"sku": "S-2", "n": 1}'
TWO = (("reserve", A), ("reserve", B))
OTHERS = (("reserve", A), ("find", B))


def part(name: str | None = None, arguments: object = None, **more: Any) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return {**more, "function": function}


def calls_of(*chunks: list[dict[str, Any]]) -> tuple[tuple[str, str], ...]:
    assembly = CallAssembly()
    for entries in chunks:
        assembly.take(entries)
    return assembly.finished()


STREAMS: dict[str, tuple[list[list[dict[str, Any]]], tuple[tuple[str, str], ...]]] = {
    "whole, one index": ([[part("reserve", A, id="a", index=0)], [part("reserve", B, id="b", index=0)]], TWO),
    "in pieces, one index": (
        [
            [part("reserve", A[:9], id="a", index=0)],
            [part(None, A[9:], index=0)],
            [part("reserve", B[:9], id="b", index=0)],
            [part(None, B[9:], index=0)],
        ],
        TWO,
    ),
    "without an index": (
        [[part("reserve", A[:9], id="a")], [part(None, A[9:])], [part("find", B[:9], id="b")], [part(None, B[9:])]],
        OTHERS,
    ),
    "an index that is null": (
        [[part("reserve", A, id="a", index=None)], [part("find", B, id="b", index=None)]],
        OTHERS,
    ),
    "an index that is text": (
        [
            [part("reserve", A[:9], id="a", index="0")],
            [part("find", B[:9], id="b", index="1")],
            [part(None, A[9:], index="0")],
            [part(None, B[9:], index="1")],
        ],
        OTHERS,
    ),
    "in one chunk, without an index": ([[part("reserve", A, id="a"), part("reserve", B, id="b")]], TWO),
    "in one chunk, told apart by place": (
        [[part("reserve", A[:9]), part("reserve", B[:9])], [part(None, A[9:]), part(None, B[9:])]],
        TWO,
    ),
    "the id on every piece": (
        [
            [part("reserve", A[:9], id="a", index=0)],
            [part(None, A[9:], id="a", index=0)],
            [part("reserve", B[:9], id="b", index=0)],
            [part(None, B[9:], id="b", index=0)],
        ],
        TWO,
    ),
    "id and name on every piece": (
        [
            [part("reserve", A[:9], id="a", index=0)],
            [part("reserve", A[9:], id="a", index=0)],
            [part("reserve", B[:9], id="b", index=0)],
            [part("reserve", B[9:], id="b", index=0)],
            [part("reserve", "", id="b", index=0)],
        ],
        TWO,
    ),
    "an id of its own on every piece": (
        [
            [part("reserve", "", id="r1", index=0)],
            [part(None, A[:9], id="r2", index=0)],
            [part(None, A[9:], id="r3", index=0)],
            [part("reserve", B, id="r4", index=1)],
            [part(None, "", id="r5", index=1)],
        ],
        TWO,
    ),
    "empty ids and names on later pieces": (
        [
            [part("reserve", A[:9], id="a", index=0)],
            [part("", A[9:], id="", index=0)],
            [part("find", B[:9], id="b", index=0)],
            [part("", B[9:], id="", index=0)],
        ],
        OTHERS,
    ),
    "no ids, the same name": ([[part("reserve", A, index=0)], [part("reserve", B, index=0)]], TWO),
    "no ids, the same name on every piece": (
        [[part("reserve", text, index=0)] for text in (A[:9], A[9:], B[:9], B[9:])],
        TWO,
    ),
    "no ids, names before arguments": (
        [[part("reserve", "")], [part(None, A)], [part("reserve", "")], [part(None, B[:9])], [part(None, B[9:])]],
        TWO,
    ),
    "one id for all": ([[part("reserve", A, id="call", index=0)], [part("reserve", B, id="call", index=0)]], TWO),
    "one id for all, in their places": (
        [[part("reserve", A, id="call", index=0)], [part("find", B, id="call", index=1)]],
        OTHERS,
    ),
    "interleaved": (
        [
            [part("reserve", A[:9], id="a", index=0)],
            [part("reserve", B[:9], id="b", index=1)],
            [part(None, A[9:], index=0)],
            [part(None, B[9:], index=1)],
        ],
        TWO,
    ),
    "interleaved by id": (
        [
            [part("reserve", A[:9], id="a", index=0)],
            [part("reserve", B[:9], id="b", index=0)],
            [part(None, A[9:], id="a", index=0)],
            [part(None, B[9:], id="b", index=0)],
        ],
        TWO,
    ),
    "an index per piece": (
        [
            [part("reserve", A[:9], id="a", index=0)],
            [part(None, A[9:], id="a", index=1)],
            [part("find", B, id="b", index=2)],
        ],
        OTHERS,
    ),
    "the second before the first": (
        [[part("find", B, id="b", index=1)], [part("reserve", A, id="a", index=0)]],
        OTHERS,
    ),
    "the id alone first": (
        [
            [part(id="a", index=0)],
            [part("reserve", A, index=0)],
            [part(id="b", index=0)],
            [part("reserve", B, index=0)],
        ],
        TWO,
    ),
    "arguments as objects": (
        [[part("reserve", {"sku": "S-1", "n": 3}, index=0)], [part("reserve", {"sku": "S-2", "n": 1}, index=0)]],
        TWO,
    ),
    "an empty object before the text": ([[part("reserve", {}, id="a", index=0)], [part(None, A, index=0)]], TWO[:1]),
    "without arguments": (
        [[part("list", None, id="a", index=0)], [part("find", "", id="b", index=0)]],
        (("list", ""), ("find", "")),
    ),
    "braces within text": (
        [
            [part("note", '{"text": "a } \\', id="a", index=0)],
            [part("note", '" b"}', index=0)],
            [part("note", "{}", index=0)],
        ],
        (("note", '{"text": "a } \\" b"}'), ("note", "{}")),
    ),
    "without the function around them": ([[{"id": "a", "name": "reserve", "arguments": A}]], TWO[:1]),
}


@pytest.mark.parametrize("kind", STREAMS)
def test_calls_are_told_apart_however_a_server_numbers_them(kind: str) -> None:
    chunks, expected = STREAMS[kind]
    assert calls_of(*chunks) == expected


def test_a_call_that_names_no_function_is_the_servers_fault() -> None:
    with pytest.raises(GarbledError, match="without a name"):
        calls_of([part(None, A, index=0)])


def test_no_answer_has_calls_without_end() -> None:
    with pytest.raises(GarbledError, match="more than"):
        calls_of(*([part("reserve", A, id=f"{number}")] for number in range(200)))


def test_a_name_on_each_of_many_pieces_is_read_in_linear_time() -> None:
    pieces = ['{"text": "', *["}" * 50] * 20_000, '"}']
    (call,) = calls_of(*([part("note", text, index=0)] for text in pieces))
    assert len(call[1]) == sum(map(len, pieces))


def reply_of(*deltas: Any, reason: str = "tool_calls") -> Reply:
    reply = Reply()
    for delta in deltas:
        reply.add({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}, "p")
    reply.add({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}, "p")
    return reply


def test_a_call_in_the_form_before_tool_calls_is_read() -> None:
    reply = reply_of(
        {"function_call": {"name": "reserve", "arguments": ""}},
        {"function_call": {"arguments": A}},
        reason="function_call",
    )
    assert (reply.calls, reply.departures) == (TWO[:1], (Departure.FUNCTION_CALL,))
    assert reply.finish_reason is FinishReason.STOP


def test_what_openais_own_clients_would_stumble_over_is_told() -> None:
    shared = reply_of(
        {"tool_calls": [part("reserve", A, id="a", index=0)]}, {"tool_calls": [part("find", {}, id="b", index=0)]}
    )
    assert set(shared.departures) == {Departure.SHARED_INDEX, Departure.OBJECT_ARGUMENTS}
    plain = reply_of(
        {"tool_calls": [part("reserve", A, id="a", index=0)]}, {"tool_calls": [part("find", B, id="b", index=1)]}
    )
    assert plain.departures == ()


@pytest.mark.parametrize(
    "chunks",
    [
        [[{"id": "a", "function": {"name": "reserve", "parameters": {"n": 1}}}]],
        [[{"id": "a", "function": {"name": "reserve", "arguments": "{}", "parameters": '{"n": 1}'}}]],
        [[{"id": "a", "name": "reserve", "input": {"n": 1}}]],
        [[{"id": "a", "function": {"name": "reserve"}, "arguments": A}]],
        [[part("reserve", {"n": 1}, index=0)], [part(None, {"m": 2}, index=0)]],
        [[part("reserve", {"n": 1}, index=0)], [part(None, '{"n": 2}', index=0)]],
    ],
)
def test_arguments_that_would_be_thrown_away_are_the_servers_fault(chunks: list[list[dict[str, Any]]]) -> None:
    with pytest.raises(GarbledError, match="arguments"):
        calls_of(*chunks)


def test_arguments_that_are_said_again_or_grow_are_kept() -> None:
    assert calls_of([{"function": {"name": "f", "arguments": A, "parameters": None}, "arguments": A}]) == (("f", A),)
    grown = calls_of([part("f", {"n": 1}, index=0)], [part(None, {"n": 1, "m": 2}, index=0)])
    assert grown == (("f", '{"n": 1, "m": 2}'),)


def test_only_the_first_of_several_answers_is_taken() -> None:
    reply = Reply()
    for place, text in ((0, "one"), (1, "other"), (0, "!")):
        reply.add({"choices": [{"index": place, "delta": {"content": text}}]}, "k")
    reply.add({"choices": [{"index": 1, "delta": {}, "finish_reason": "length"}]}, "k")
    assert ("".join(reply.text), reply.finish_reason) == ("one!", None)


def test_a_call_among_the_parts_of_a_text_is_the_servers_fault() -> None:
    parts = [{"type": "text", "text": "So."}, {"type": "tool_use", "name": "f", "input": {"n": 1}}]
    with pytest.raises(GarbledError, match="among the parts"):
        Reply().add({"choices": [{"index": 0, "delta": {"content": parts}}]}, "k")
