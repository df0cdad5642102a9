import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.protocols.profile import get_profile
from services.protocols.roo_native.parse.text_form import (
    answer_from_text,
    text_of_call,
    text_outside_calls,
    with_calls_beside,
    with_calls_in_text,
)
from services.protocols.session import Session, state_of
from services.protocols.turn import Answer, ToolCall
from services.protocols.verdict import Fault


def names(text: str) -> list[tuple[str, str]]:
    return [(call.name, call.arguments) for call in answer_from_text(text).calls]


def test_calls_are_read_in_order_and_the_text_around_them_is_kept() -> None:
    text = f"First.\n{text_of_call('a', {'x': 1})}\nThen.\n{text_of_call('b', {})}\n"
    answer = answer_from_text(text)
    assert [(call.name, call.arguments) for call in answer.calls] == [("a", '{"x":1}'), ("b", "{}")]
    assert answer.text == text
    beside = with_calls_beside(answer)
    assert (beside.text.split(), [call.span for call in beside.calls]) == (["First.", "Then."], [None, None])
    assert next(text[slice(*call.span)] for call in answer.calls if call.span) == text_of_call("a", {"x": 1})


def test_a_closing_tag_inside_a_value_does_not_end_the_call() -> None:
    assert names(text_of_call("write_to_file", {"content": "</tool_call>"})) == [
        ("write_to_file", '{"content":"</tool_call>"}')
    ]


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ('<tool_call>{"name": "a", "arguments": {}}', ("a", "{}")),
        ('<tool_call>{"name": "a", "arguments": "{\\"x\\": 1}"}</tool_call>', ("a", '{"x": 1}')),
        ('<tool_call>{"name": "a"}</tool_call>', ("a", "{}")),
        ('<tool_call>{"name": "a", "arguments": null}</tool_call>', ("a", "null")),
        ('<tool_call>{"name": "a", "arguments": {"x": </tool_call>', ("a", '{"x":')),
        ('<tool_call>{"name": "a", "arguments": {"x": "cut', ("a", '{"x": "cut')),
        ('<tool_call>{"name": 5, "arguments": {}}</tool_call>', ("", "{}}")),
        ('<tool_call>{"name": "a", "arguments": {"x": 1}</tool_call>', ("a", '{"name": "a", "arguments": {"x": 1}')),
        ('<tool_call>"name": "a", "arguments": {}</tool_call>', ("a", '"name": "a", "arguments": {}')),
        ('<tool_call>{"name": "a", "arguments": </tool_call>', ("a", '{"name": "a", "arguments": ')),
        ("<tool_call>[1]</tool_call>", ("", "[1]")),
        ("<tool_call></tool_call>", ("", "")),
        ("<tool_call>", ("", "")),
    ],
)
def test_calls_that_are_not_as_they_should_be(text: str, call: tuple[str, str]) -> None:
    assert names(text) == [call]


def test_reasoning_at_the_start_is_no_part_of_the_answer() -> None:
    call = text_of_call("a", {})
    assert names(f"<think>{call}</think>{call}") == [("a", "{}")]
    assert answer_from_text(f"<think>{call}").calls == ()
    assert len(answer_from_text(f"Well. <think>{call}</think>").calls) == 1


def test_text_without_calls_is_an_answer_without_calls() -> None:
    answer = answer_from_text(" Hello. ", "length")
    assert (answer.text, answer.calls, answer.finish_reason) == (" Hello. ", (), "length")


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=9) | st.integers(-9, 9), max_size=3), st.text(max_size=9))
def test_a_call_written_as_text_is_read_back(arguments: dict[str, object], name: str) -> None:
    calls = answer_from_text(text_of_call(name, arguments)).calls
    assert len(calls) == 1 and isinstance(calls[0], ToolCall)
    assert calls[0].name == name


@given(st.lists(st.sampled_from(["<tool_call>", "</tool_call>", '{"name":"a"', ',"arguments":{', "}", "x", "<think>"])))
def test_no_text_breaks_the_reader(pieces: list[str]) -> None:
    text = "".join(pieces)
    calls = answer_from_text(text).calls
    assert len(calls) <= text.count("<tool_call>")


def test_what_is_no_call_keeps_its_place_and_reasoning_goes() -> None:
    call = text_of_call("a", {"x": "é"})
    text = f"<think>{call}</think>Then</think> {call} end"
    answer = answer_from_text(text)
    outside = text_outside_calls(answer)
    assert "é" in call
    assert (len(answer.calls), answer.finish_reason) == (1, "stop")
    assert (len(outside), outside.split()) == (len(text), ["Then</think>", "end"])
    assert outside.index("end") == text.index("end")
    assert with_calls_beside(answer).text == outside.strip()
    thought = answer_from_text("<think>why</think> So.")
    assert text_outside_calls(thought) == " " * len("<think>why</think>") + " So."


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ('{"name": "list_files", "parameters": ARGUMENTS}', Fault.FOREIGN_FORM),
        ('{"name": "list_files", "arguments": ARGUMENTS, "parameters": {"recursive": true}}', Fault.FOREIGN_FORM),
        ('{"name": "list_files", "arguments": ARGUMENTS, "path": "elsewhere"}', Fault.FOREIGN_FORM),
        ('{"function": {"name": "list_files", "parameters": ARGUMENTS}}', Fault.FOREIGN_FORM),
        ('{"name": "list_files", "arguments": {"path": "x"}, "arguments": ARGUMENTS}', Fault.BAD_JSON),
        ('{"name": "read_file", "name": "list_files", "arguments": ARGUMENTS}', Fault.BAD_JSON),
        ('{"name": "list_files", "arguments": ARGUMENTS', Fault.BAD_JSON),
        ('{"id": "call_1", "type": "function", "name": "list_files", "arguments": ARGUMENTS}', None),
    ],
)
def test_a_call_that_says_more_than_is_read_is_no_call_that_conforms(said: str, fault: Fault | None) -> None:
    profile = get_profile("roo_native")
    cases = (case for suite in profile.suites() for case in suite.cases)
    case = next(case for case in cases if case.expected.tool == "list_files" and case.max_turns == 1)
    arguments = profile.read_answer(profile.reference_answer(case)).calls[0].arguments
    text = f"<tool_call>{said.replace('ARGUMENTS', arguments)}</tool_call>"
    verdict = profile.judge(case, profile.read_answer(text))
    assert verdict.conforming is (fault is None)
    assert next((layer.fault for layer in verdict.layers if layer.fault), None) is fault


@pytest.mark.parametrize("bad", ["<tool_call>{bad</tool_call>", '<tool_call>{"name": 5}</tool_call>'])
def test_a_call_that_cannot_be_read_ends_at_its_closing_tag(bad: str) -> None:
    good = text_of_call("b", {})
    text = f"First {bad} then {good}"
    spans = [call.span for call in answer_from_text(text).calls]
    assert [text[span[0] : span[1]] for span in spans if span] == [bad, good]


@pytest.mark.parametrize(
    "raw", ['{"path":"a.py"}', '{"path": "src/a', "[1]", "null", '"text"', "", "{", '{"a":{"b":[]}}']
)
def test_a_call_beside_the_text_is_the_same_call_within_it(raw: str) -> None:
    answer = with_calls_in_text(Answer("Well.", (ToolCall("read_file", raw), ToolCall("b", "{}"))))
    assert answer.text.startswith(f'Well.\n<tool_call>\n{{"name": "read_file", "arguments": {raw[:1]}')
    expected = {'"text"': "text", "": "{}"}.get(raw, raw)
    assert [(call.name, call.arguments) for call in answer.calls] == [("read_file", expected), ("b", "{}")]
    assert with_calls_in_text(answer) == answer


def test_a_history_shows_its_calls_to_a_model_that_is_offered_no_functions() -> None:
    profile = get_profile("roo_native")
    for case in profile.draw(4, 60, categories=("recovery",)):
        beside, within = state_of(case), state_of(case)
        outcomes = []
        for answer in case.history:
            outcomes.append(
                (profile.take_turn(beside, answer), profile.take_turn(within, profile.as_written(answer, "compact")))
            )
        assert all(one.calls == other.calls for one, other in outcomes) and beside == within
        said = [message for message in Session(profile, case, "compact").messages if message["role"] == "assistant"]
        assert said and all(message["content"] and "tool_calls" not in message for message in said)
