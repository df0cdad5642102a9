import json
from dataclasses import replace

import pytest

from services.protocols.cases import Case, CaseError, Expected, case_from_document, case_to_document
from services.protocols.contract import UnknownPromptSize
from services.protocols.openai_tools.parse import as_functions, read_answer, written_call
from services.protocols.openai_tools.tools import DRILLED_TOOLS, NO_CALL, TOOLS
from services.protocols.profile import get_profile
from services.protocols.session import Session, call_key, judge_session
from services.protocols.turn import Answer, ToolCall

PROFILE = get_profile("openai_tools")
SUITE = next(one for one in PROFILE.suites() if (one.suite_id, one.version) == ("openai_tools/smoke", 1))
CASE = SUITE.cases[0]


def first_of(skill: str) -> Case:
    return next(case for case in SUITE.cases if case.category == skill)


def test_the_suite_covers_every_function() -> None:
    assert len(SUITE.cases) >= 24
    assert {case.tool for case in SUITE.cases} == set(PROFILE.tools) == set(DRILLED_TOOLS)


def test_every_reference_conforms_and_fits_no_other_case() -> None:
    for case in (*SUITE.cases, *PROFILE.draw(3, 120, categories=("single_call",))):
        verdict = PROFILE.judge(case, PROFILE.read_answer(PROFILE.reference_answer(case)))
        assert verdict.conforming, (case.case_id, verdict.sentence)
    for case in SUITE.cases:
        fits = [other for other in SUITE.cases if PROFILE.judge(other, read_answer(case.reference)).conforming]
        assert all(other.expected == case.expected for other in fits)


def test_every_cut_of_a_reference_does_not_conform() -> None:
    for case in SUITE.cases:
        if case.tool != NO_CALL:
            for cut in (case.reference[:-20], case.reference[:12], case.reference.replace('"name"', '"tool"', 1)):
                assert not PROFILE.judge(case, PROFILE.read_answer(cut)).conforming


def test_a_case_survives_its_document() -> None:
    for case in SUITE.cases:
        assert case_from_document(json.loads(json.dumps(case_to_document(case)))) == case


def test_prompts_list_the_functions_unless_they_travel_beside() -> None:
    system = {size: PROFILE.messages(CASE, size)[0]["content"] for size in PROFILE.prompt_sizes}
    assert len(system["bare"]) < len(system["compact"]) < len(system["full"])
    for tool in PROFILE.tools_for(CASE):
        name = json.dumps(tool["function"]["name"])  # type: ignore[index]
        assert PROFILE.tools_for(CASE, "compact") == []
        assert name in system["compact"] and name in system["full"] and name not in system["bare"]
    with pytest.raises(UnknownPromptSize, match="bare, compact, full"):
        PROFILE.messages(CASE, "huge")


def test_examples_write_calls_as_text_or_beside_it() -> None:
    text = PROFILE.example(CASE, "compact")
    assert text["messages"][-1] == {"role": "assistant", "content": CASE.reference}
    assert "tools" not in text
    bare = PROFILE.example(CASE, "bare")
    answer = bare["messages"][-1]
    assert bare["tools"] == list(CASE.tools)
    assert answer["content"] == ""
    assert json.loads(answer["tool_calls"][0]["function"]["arguments"]) == CASE.expected.arguments


@pytest.mark.parametrize(
    ("text", "rest", "calls"),
    [
        ("plain", "plain", []),
        (f"A {written_call('f', {})} B", "A  B", [("f", "{}")]),
        ('<tool_call>{"name": "f"}', "", [("f", "{}")]),
        ('<tool_call>{"name": "f", "arguments": "{}"}</tool_call>', "", [("f", "{}")]),
        ('<tool_call>{"name": "f", oops</tool_call>', "", [("f", '{"name": "f", oops')]),
        ("<tool_call>[]</tool_call>", "", [("", "[]")]),
        ("<tool_call></tool_call>", "", [("", "null")]),
        ("<think><tool_call>{}</tool_call></think>Hm", "<think><tool_call>{}</tool_call></think>Hm", []),
        ("<think>never closed <tool_call>{}", "<think>never closed <tool_call>{}", []),
        ("<tool_call>1</tool_call><tool_call>2", "", [("", "1"), ("", "2")]),
    ],
)
def test_calls_are_read_from_text(text: str, rest: str, calls: list[tuple[str, str]]) -> None:
    answer = as_functions(read_answer(text))
    assert (answer.text, [(call.name, call.arguments) for call in answer.calls]) == (rest, calls)
    assert read_answer(text).text == text


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"tools": ({"type": "function"},)}, "tools[0]"),
        ({"tools": ({"type": "function", "function": {"name": "a b"}},)}, "tools[0].function.name"),
        ({"tools": ({"type": "function", "function": {"name": NO_CALL}},)}, "tools[0].function.name"),
        ({"tools": (TOOLS["set_light"], TOOLS["set_light"])}, "tools[1].function.name"),
        (
            {"tools": ({"type": "function", "function": {"name": "f", "parameters": []}},)},
            "tools[0].function.parameters",
        ),
        (
            {"tools": ({"type": "function", "function": {"name": "f", "parameters": {"type": "array"}}},)},
            "tools[0].function.parameters.type",
        ),
        (
            {"tools": ({"type": "function", "function": {"name": "f", "parameters": {"required": 3}}},)},
            "tools[0].function.parameters.required",
        ),
        (
            {"tools": ({"type": "function", "function": {"name": "f", "parameters": {"$ref": "http://x.example/"}}},)},
            "tools[0].function.parameters",
        ),
        ({"tools": (TOOLS["set_light"],)}, "expected.tool"),
        (
            {"tools": tuple(TOOLS.values()), "expected": replace(CASE.expected, further=(Expected("fly"),))},
            "expected.further[0].tool",
        ),
        ({"expected": Expected(NO_CALL, no_call=True, further=(Expected("fly"),))}, "expected.further"),
    ],
)
def test_a_case_that_asks_for_what_is_not_there_is_refused(changes: dict[str, object], field: str) -> None:
    with pytest.raises(CaseError) as caught:
        PROFILE.check_case(replace(CASE, **changes))  # type: ignore[arg-type]
    assert caught.value.field == field


def test_a_session_runs_calls_and_ends_with_plain_text() -> None:
    order = first_of("place_order.plain")
    arguments = dict(order.expected.arguments)
    case = replace(order, max_turns=4, results={call_key("place_order", arguments): '{"order": 7}'})
    session = Session(PROFILE, case, "bare")
    assert session.tools == list(case.tools)
    session.answer(Answer("", (ToolCall("place_order", "{}"), ToolCall("fly", "{}"))))
    session.answer(Answer("", (ToolCall("place_order", json.dumps(arguments), "mine"),)))
    session.answer(Answer("Order 7 is on its way."))
    assert session.stop == "completed"
    roles = [message["role"] for message in session.messages]
    assert roles == ["system", "user", "assistant", "tool", "tool", "assistant", "tool", "assistant"]
    assert [message["tool_call_id"] for message in session.messages if message["role"] == "tool"] == [
        *("c00000000", "c00000001"),
        "mine",
    ]
    assert "product_id" in session.messages[3]["content"]
    assert "Functions:" in session.messages[4]["content"]
    assert session.messages[6]["content"] == '{"order": 7}'
    verdict = judge_session(PROFILE, case, session.transcript())
    assert (verdict.conforming, verdict.cause) == (False, "unknown_tool")


def test_a_session_that_goes_right_conforms_in_text_form_too() -> None:
    case = replace(first_of("set_timer.plain"), max_turns=2)
    session = Session(PROFILE, case, "compact")
    session.answer(read_answer(case.reference))
    assert "tool_calls" not in session.messages[2]
    session.answer(Answer("The timer runs."))
    assert judge_session(PROFILE, case, session.transcript()).conforming


def test_mistakes_and_repetitions_stop_a_session() -> None:
    case = replace(CASE, max_turns=9)
    empty = Session(PROFILE, case, "bare")
    for _ in range(3):
        empty.answer(Answer(" "))
    assert (empty.stop, empty.messages[-1]["role"]) == ("mistake_limit", "user")
    same = Session(PROFILE, case, "bare")
    for _ in range(4):
        same.answer(as_functions(read_answer(case.reference)))
    assert same.stop == "repetition"
    denied = Session(PROFILE, replace(case, denied_tools=(case.tool,)), "bare")
    denied.answer(read_answer(case.reference))
    assert "refused" in denied.messages[-1]["content"]
