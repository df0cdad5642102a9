"""Function calls in a model's text, whole and streamed."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.test_runner.usecases.written_calls import CallGate, read_calls

NAMES = ("look", "write")
CALL = '<tool_call>\n{"name": "look", "arguments": {"at": "x"}}\n</tool_call>'
BARE = '{"name": "look", "arguments": {"at": "x"}}'
TEXTS = (
    "",
    "Just words.",
    "a < b <tool_ <tool_call",
    CALL,
    f"Let me see.\n{CALL}",
    f"  First. {CALL} then {CALL} done",
    f"<think>{CALL}</think>No.",
    f"<think>hm</think>{CALL}",
    f"I could {CALL} but no.</think>{CALL}",
    f"I could {CALL} but no.\n</think>\n\nNo.",
    f"<think>or {CALL}</think>\n{BARE}",
    f"Hm.</think>\n\n{BARE}",
    f"Hm.</think>```json\n{BARE}\n```",
    '<tool_call>{"name": "look", "arguments": {"at": "</think>"}}</tool_call>',
    '{"name": "look", "arguments": {"at": "</think>"}}',
    "<tool_call>{broken</tool_call>",
    '<tool_call>{"name": "look", "arguments": {"at": ',
    '<tool_call>{"name": "look", "parameters": {"at": "x"}}</tool_call>',
    BARE,
    f"```json\n{BARE}\n```",
    f"[{BARE}, {BARE}]",
    '{"name": "other", "arguments": {}}',
    '{"answer": 42}',
    "[1, 2]",
)


def _streamed(text: str, cuts: list[int]) -> tuple[str, tuple[str, ...]]:
    gate, passed = CallGate(NAMES), ""
    edges = sorted({0, *(min(cut, len(text)) for cut in cuts), len(text)})
    for begin, end in itertools.pairwise(edges):
        passed += gate.feed(text[begin:end])
    rest, calls = gate.finish()
    return passed + rest, tuple(call.arguments for call in calls)


@pytest.mark.parametrize(
    ("text", "outside", "calls"),
    [
        ("Just words.", "Just words.", []),
        (f"Let me see.\n{CALL}", "Let me see.", ["look"]),
        (BARE, "", ["look"]),
        (f"```json\n{BARE}\n```", "", ["look"]),
        (f"[{BARE}, {BARE}]", "", ["look", "look"]),
        ('{"name": "write", "parameters": {"x": 1}}', "", ["write"]),
        ('{"name": "other", "arguments": {}}', '{"name": "other", "arguments": {}}', []),
        ('{"name": ["look"], "arguments": {}}', '{"name": ["look"], "arguments": {}}', []),
        (f"<think>{CALL}</think>No.", f"<think>{CALL}</think>No.", []),
        ("<tool_call>{broken</tool_call>", "<tool_call>{broken</tool_call>", []),
        ("[" * 100_000, "[" * 100_000, []),
        (f"I could {CALL} but no.</think>\n{CALL}", f"I could {CALL} but no.</think>", ["look"]),
        (f"I could {CALL} but no.</think>\nNo.", f"I could {CALL} but no.</think>\nNo.", []),
        (f"Hm.</think>\n\n{BARE}", "Hm.</think>", ["look"]),
    ],
)
def test_calls_are_read_and_the_rest_stays_text(text: str, outside: str, calls: list[str]) -> None:
    found, made = read_calls(text, NAMES)
    assert (found, [call.name for call in made]) == (outside, calls)


@pytest.mark.parametrize(
    "call",
    [
        '{"name": "look", "arguments": {"at": ',
        '{"name": "look", "parameters": {"at": "x"}}',
        '{"name": "look", "args": {"at": "x"}}',
        '{"name": "look", "arguments": {"at": "x"}, "parameters": {"at": "y"}}',
        '{"name": "look", "arguments": {"at": "x"}, "arguments": {"at": "y"}}',
        '{"name": "look", "arguments": {"at": "x", "at": "y"}}',
        '{"name": "look", "at": "x"}',
        '{"name": "look", "arguments": ["x"]}',
        '{"type": "function", "function": {"name": "look", "arguments": {"at": "x"}}}',
        '[{"name": "look", "arguments": {"at": "x"}}]',
    ],
)
def test_no_call_is_given_with_less_than_the_model_said(call: str) -> None:
    for text in (f"<tool_call>{call}</tool_call>", f"{CALL}\n<tool_call>{call}</tool_call>"):
        assert read_calls(text, NAMES) == (text, ())


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ('{"name": "look", "parameters": {"at": "x"}}', {"at": "x"}),
        ('{"name": "look", "type": "function", "id": "1", "arguments": {"at": "x"}}', {"at": "x"}),
        ('{"name": "look", "arguments": "{\\"at\\": \\"x\\"}"}', {"at": "x"}),
        ('{"name": "look", "arguments": {"at": "</think>"}}', {"at": "</think>"}),
        ('{"name": "look"}', {}),
        ('{"name": "look", "args": {"at": "x"}}', None),
        ('{"name": "look", "arguments": {}, "parameters": {"at": "x"}}', None),
        ('{"name": "look", "arguments": {"at": "x"}, "arguments": {"at": "y"}}', None),
        ('{"name": "look", "arguments": "at x"}', None),
    ],
)
def test_an_object_alone_is_a_call_when_all_of_it_is_read(call: str, arguments: dict[str, str] | None) -> None:
    outside, calls = read_calls(call, NAMES)
    assert [json.loads(one.arguments) for one in calls] == ([] if arguments is None else [arguments])
    assert outside == (call if arguments is None else "")


def test_arguments_stay_as_the_model_wrote_them() -> None:
    _, (call,) = read_calls('<tool_call>{"name": "look", "arguments": {"at": "\u00e9", "n": 1.50}}</tool_call>', NAMES)
    assert json.loads(call.arguments) == {"at": "é", "n": 1.5}


@given(st.sampled_from(TEXTS), st.lists(st.integers(0, 120), max_size=12))
def test_a_stream_cut_anywhere_brings_what_the_whole_brings(text: str, cuts: list[int]) -> None:
    outside, calls = read_calls(text, NAMES)
    streamed, arguments = _streamed(text, cuts)
    assert arguments == tuple(call.arguments for call in calls)
    assert streamed.strip() == outside.strip() if calls else streamed == outside


def test_nothing_of_a_call_is_let_through_before_it_is_known() -> None:
    gate = CallGate(NAMES)
    assert "".join(gate.feed(one) for one in f"See. {CALL}") == "See."
