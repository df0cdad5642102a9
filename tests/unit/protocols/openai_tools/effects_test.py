import json
from dataclasses import replace

import pytest

from services.protocols.cases import Case, CaseError, Effect, Expected, FreeText, Goal
from services.protocols.openai_tools.tools import DATE, TEXT, TEXTS, function
from services.protocols.profile import get_profile
from services.protocols.session import Session, call_key, judge_session
from services.protocols.turn import Answer, ToolCall
from services.protocols.verdict import Cause, LayerName, LayerStatus, Verdict

PROFILE = get_profile("openai_tools")
ITEMS = {"type": "array", "items": {"type": "object"}}
TOOLS = (
    function("look", "Reads.", {"page": TEXT}),
    function("grep", "Searches.", {"word": TEXT}),
    function("put", "Writes.", {"page": TEXT, "body": TEXT}),
    function("swap", "Replaces.", {"page": TEXT, "this": TEXT, "that": TEXT}),
    function("plan", "Plans.", {"steps": ITEMS}),
    function("find", "Finds.", {"name": TEXT}, limit={"type": "integer", "default": 10}),
    function("pay", "Pays.", {"sum": {"type": "number"}, "to": TEXTS}, day=DATE),
)
EFFECTS = {
    "look": Effect("read", {"path": "page"}),
    "grep": Effect("search", {"text": "word"}),
    "put": Effect("write", {"path": "page", "text": "body"}),
    "swap": Effect("replace", {"path": "page", "old": "this", "new": "that"}),
    "plan": Effect("checklist", {"items": "steps"}),
}
FILES = {"a": "red\nblue\nred", "b": "Green"}
CASE = Case(
    *("c", "k", "swap", "", "Do it."),
    Expected("swap", {"page": "a", "this": "blue", "that": "pink"}, {"a": "red\npink\nred"}),
    "t",
    "r",
    files=FILES,
    tools=TOOLS,
    effects=EFFECTS,
)
TASK = replace(CASE, max_turns=6, goal=Goal())


def call(name: str, /, **arguments: object) -> ToolCall:
    return ToolCall(name, json.dumps(arguments))


def reply(*calls: ToolCall, case: Case = TASK) -> str:
    session = Session(PROFILE, case, "bare")
    for one in calls:
        session.answer(Answer(calls=(one,)))
    return session.messages[-1]["content"]


def code(*calls: ToolCall, case: Case = TASK) -> tuple[str, ...]:
    session = Session(PROFILE, case, "bare")
    for one in calls:
        session.answer(Answer(calls=(one,)))
    return session.transcript().turns[-1].outcome.calls[0].codes


def judged(*calls: ToolCall, case: Case = CASE) -> Verdict:
    return PROFILE.judge(case, Answer(calls=calls))


def effect(verdict: Verdict) -> LayerStatus:
    return next(layer.status for layer in verdict.layers if layer.name is LayerName.EFFECT)


def test_functions_work_on_documents() -> None:
    assert reply(call("look", page="b")) == "Green"
    assert json.loads(reply(call("grep", word="GREEN"))) == {"found": ["b"]}
    assert json.loads(reply(call("grep", word="violet"))) == {"found": []}
    assert reply(call("swap", page="a", this="blue", that="x"), call("look", page="a")) == "red\nx\nred"
    assert reply(call("put", page="new", body="\r\n"), call("look", page="new")) == "\r\n"


@pytest.mark.parametrize(
    ("wrong", "expected", "says"),
    [
        (call("look", page="c"), "file_not_found", "There are: a, b."),
        (call("swap", page="c", this="x", that="y"), "file_not_found", "There are: a, b."),
        (call("swap", page="a", this="", that="y"), "empty_search", "is empty"),
        (call("swap", page="a", this="red", that="red"), "identical", "the same"),
        (call("swap", page="a", this="grey", that="red"), "no_match", "does not stand in a"),
        (call("swap", page="a", this="red", that="grey"), "several_matches", "2 times"),
        (call("plan", steps=[{"text": "x"}]), "bad_value", "status"),
        (call("plan", steps=[{"text": 1, "status": "pending"}]), "bad_value", "text"),
        (call("plan", steps=[{"text": "x", "status": "begun"}]), "bad_value", "in_progress"),
    ],
)
def test_what_a_function_cannot_do_is_answered_with_an_error(wrong: ToolCall, expected: str, says: str) -> None:
    assert code(wrong) == (expected,)
    assert says in json.loads(reply(wrong))["error"]
    assert reply(wrong, call("look", page="a")) == FILES["a"]


def test_errors_of_functions_count_as_mistakes_and_success_forgives() -> None:
    bad, good = call("look", page="c"), call("look", page="a")
    session = Session(PROFILE, TASK, "bare")
    for number in range(3):
        session.answer(Answer(calls=(replace(bad, arguments=json.dumps({"page": f"c{number}"})),)))
    assert session.stop == "mistake_limit"
    forgiven = Session(PROFILE, TASK, "bare")
    for one in (bad, bad, good, bad, bad):
        forgiven.answer(Answer(calls=(one,)))
    assert forgiven.stop is None


def test_a_value_that_is_no_text_is_refused_where_the_schema_lets_it_pass() -> None:
    loose = function("look", "Reads.", {"page": {}})
    assert code(call("look", page=7), case=replace(TASK, tools=(loose,))) == ("bad_value",)


def test_the_checklist_is_kept_and_compared() -> None:
    steps = [{"text": "one", "status": "completed"}, {"text": "two", "status": "in_progress"}]
    case = replace(TASK, goal=Goal(todos=(("completed", "one"), ("in_progress", "two"))))
    session = Session(PROFILE, case, "bare")
    session.answer(Answer(calls=(call("plan", steps=steps),)))
    session.answer(Answer("Written."))
    assert judge_session(PROFILE, case, session.transcript()).conforming
    other = replace(case, goal=Goal(todos=(("completed", "one"), ("completed", "two"))))
    assert judge_session(PROFILE, other, session.transcript()).cause is Cause.WRONG_RESULT


@pytest.mark.parametrize(
    ("old", "new"), [("blue", "pink"), ("red\nblue", "red\npink"), ("blue\nred", "pink\nred"), ("lu", "luu")]
)
def test_an_edit_is_judged_by_what_it_does(old: str, new: str) -> None:
    verdict = judged(call("swap", page="a", this=old, that=new))
    assert verdict.conforming == ("pink" in new)
    assert verdict.cause is (None if "pink" in new else Cause.WRONG_RESULT)
    assert effect(verdict) is (LayerStatus.PASSED if "pink" in new else LayerStatus.FAILED)


def test_an_edit_that_cannot_be_applied_fails_in_its_effect() -> None:
    verdict = judged(call("swap", page="a", this="red", that="pink"))
    assert (verdict.cause, effect(verdict)) == (Cause.EFFECT_FAILED, LayerStatus.FAILED)
    assert judged(call("swap", page="b", this="Green", that="pink")).cause is Cause.WRONG_ARGUMENTS


def test_a_written_document_may_end_in_a_line_break_and_others_must_stay() -> None:
    written = replace(CASE, tool="put", expected=Expected("put", {"page": "c", "body": "x"}, {"c": "x"}))
    assert judged(call("put", page="c", body="x\n"), case=written).conforming
    assert not judged(call("put", page="c", body="x "), case=written).conforming
    both = judged(call("put", page="c", body="x"), call("put", page="b", body=""), case=written)
    assert {layer.name for layer in both.layers if layer.status is LayerStatus.FAILED} == {
        LayerName.EFFECT,
        LayerName.NO_NEEDLESS_CALL,
    }


def test_a_call_that_is_not_compared_by_its_effect_keeps_its_arguments() -> None:
    plain = replace(CASE, expected=replace(CASE.expected, files={}))
    assert judged(call("swap", page="a", this="blue", that="pink"), case=plain).conforming
    longer = judged(call("swap", page="a", this="red\nblue", that="red\npink"), case=plain)
    assert (longer.cause, effect(longer)) == (Cause.WRONG_ARGUMENTS, LayerStatus.NOT_APPLICABLE)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"name": "Zoë"}, "found"),
        ({"name": " Zoë\n"}, "found"),
        ({"name": "Zoë", "limit": 10}, "found"),
        ({"name": "Zoë", "limit": 10.0}, "found"),
        ({"name": "Zoë", "limit": 9}, "nothing"),
        ({"name": "Zoe"}, "nothing"),
    ],
)
def test_a_result_is_found_by_equal_arguments(arguments: dict[str, object], told: str) -> None:
    results = {call_key("find", {"name": "Zoë"}): "found", "find": "nothing"}
    assert reply(call("find", **arguments), case=replace(TASK, results=results)) == told
    assert reply(call("find", **arguments)) == '{"status": "done"}'


def test_a_result_is_found_whatever_the_form_of_numbers_and_lists() -> None:
    results = {call_key("pay", {"sum": 5, "to": ["a"]}): "paid"}
    assert reply(call("pay", sum=5.0, to=["a "]), case=replace(TASK, results=results)) == "paid"
    assert reply(call("pay", sum=5.5, to=["a "]), case=replace(TASK, results=results)) != "paid"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"effects": {"fly": Effect("read", {"path": "page"})}}, "effects.fly"),
        ({"effects": {"put": Effect("write", {"path": "page"})}}, "effects.put.arguments.text"),
        ({"effects": {"put": Effect("write", {"path": "page", "text": "x"})}}, "effects.put.arguments.text"),
        ({"goal": Goal(tools=("look", "fly"))}, "goal.tools[1]"),
        ({"goal": Goal(calls=(Expected("fly"),))}, "goal.calls[0].tool"),
    ],
)
def test_effects_and_goals_name_functions_of_the_case(changes: dict[str, object], field: str) -> None:
    PROFILE.check_case(TASK)
    with pytest.raises(CaseError) as caught:
        PROFILE.check_case(replace(TASK, **changes))  # type: ignore[arg-type]
    assert caught.value.field == field


def task_of(*calls: Expected, tools: tuple[str, ...] = ()) -> Case:
    return replace(TASK, goal=Goal(tools=tools, calls=calls))


def verdict_on(case: Case, *answers: tuple[ToolCall, ...]) -> Verdict:
    session = Session(PROFILE, case, "bare")
    for calls in answers:
        session.answer(Answer(calls=calls))
    session.answer(Answer("Done."))
    return judge_session(PROFILE, case, session.transcript())


def test_the_calls_of_a_goal_may_come_in_any_answer_and_order() -> None:
    case = task_of(Expected("pay", {"sum": 1, "to": ["a"]}), Expected("find", {"name": "x"}))
    pay, find = call("pay", sum=1, to=["a"]), call("find", name="x")
    assert verdict_on(case, (pay,), (find,)).conforming
    assert verdict_on(case, (find, pay)).conforming
    missing = verdict_on(case, (find,))
    assert (missing.cause, missing.sentence) == (Cause.WRONG_TOOL, "The task asks for pay, which is not called.")


def test_nothing_done_at_all_is_the_wrong_tool() -> None:
    verdict = verdict_on(task_of(Expected("pay", {"sum": 1, "to": ["a"]}), tools=("look",)), (call("look", page="a"),))
    assert (verdict.cause, verdict.sentence) == (Cause.WRONG_TOOL, "The task asks for pay, which did no work.")


def test_without_calls_in_the_goal_only_its_tools_may_work() -> None:
    case = task_of(tools=("look",))
    assert verdict_on(case, (call("look", page="a"),)).conforming
    needless = verdict_on(case, (call("look", page="a"),), (call("find", name="x"),))
    assert (needless.cause, needless.layers[-1].turn) == (Cause.NEEDLESS_CALL, 1)
    assert verdict_on(case).cause is Cause.WRONG_TOOL


def test_refused_calls_are_no_work() -> None:
    pay = call("pay", sum=1, to=["a"])
    case = replace(task_of(Expected("pay", {"sum": 1, "to": ["a"]})), denied_tools=("pay",))
    assert verdict_on(case, (pay,)).cause is Cause.WRONG_TOOL
    free = replace(task_of(), denied_tools=("pay",))
    assert verdict_on(free, (pay,)).conforming


def test_free_text_of_a_goals_call_follows_its_rule() -> None:
    case = task_of(Expected("find", {"name": "x"}, free_text=(FreeText("name", ("harbor",)),)))
    assert verdict_on(case, (call("find", name="the harbor"),)).conforming
    assert verdict_on(case, (call("find", name="the sea"),)).cause is Cause.WRONG_ARGUMENTS


def test_a_place_in_the_text_is_that_of_the_answer_that_errs() -> None:
    case = task_of(Expected("find", {"name": "x"}))
    text = 'So: <tool_call>{"name": "find", "arguments": {"name": "y"}}</tool_call>'
    session = Session(PROFILE, case, "compact")
    session.answer(PROFILE.read_answer(text))
    session.answer(Answer("Done."))
    layer = next(one for one in judge_session(PROFILE, case, session.transcript()).layers if one.fault)
    assert layer.span is not None
    assert (layer.turn, text[slice(*layer.span)]) == (0, text[4:])
