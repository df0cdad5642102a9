"""Checklists that are not finished, or not true, in front of both Roo clients."""

import json
from dataclasses import replace

import pytest

from services.protocols.cases import Case, CaseError, Expected, Goal, case_from_document, case_to_document
from services.protocols.profile import Profile, get_profile
from services.protocols.roo_xml.scenario_case import written_call
from services.protocols.session import Session, Transcript, judge_session, state_of
from services.protocols.turn import Answer, ToolCall
from services.protocols.verdict import Cause, Fault, LayerName, Verdict

CLIENTS = ("roo_xml", "roo_xml_classic", "roo_native")
MODERN = ("roo_xml", "roo_native")
ITEMS = (("completed", "Write a.txt"), ("in_progress", "Write b.txt"))
CASE = Case(
    case_id="c1",
    category="task",
    tool="write_to_file",
    mode="code",
    task="Write two files.",
    expected=Expected("write_to_file", {"path": "a.txt"}),
    template="t",
    reference="r",
    max_turns=9,
    goal=Goal(
        {"a.txt": "1", "b.txt": "2"},
        todos=(("completed", "Write a.txt"), ("completed", "Write b.txt")),
        todo_files={"Write a.txt": "a.txt", "Write b.txt": "b.txt"},
    ),
)
Call = tuple[str, dict[str, str]]
DONE: Call = ("attempt_completion", {"result": "Both are there."})


def write(path: str, text: str) -> Call:
    return "write_to_file", {"path": path, "content": text}


def marks(*each: str) -> Call:
    lines = "\n".join(f"[{mark}] Write {name}.txt" for mark, name in zip(each, "ab", strict=True))
    return "update_todo_list", {"todos": lines}


def as_said(profile: Profile, call: Call) -> Answer:
    if profile.id == "roo_native":
        return Answer(calls=(ToolCall(call[0], json.dumps(call[1])),))
    return Answer(written_call(*call))


def played(profile: Profile, case: Case, *answers: Call) -> Transcript:
    session = Session(profile, case, "compact")
    for answer in answers:
        session.answer(as_said(profile, answer))
    return session.transcript()


def judged(profile: Profile, case: Case, *answers: Call) -> Verdict:
    return judge_session(profile, case, played(profile, case, *answers))


@pytest.mark.parametrize("name", CLIENTS)
def test_a_completion_is_refused_while_an_item_is_open_where_the_setting_is_on(name: str) -> None:
    profile = get_profile(name)
    state = state_of(replace(CASE, todos=ITEMS, needs_done_todos=True))
    outcome = profile.take_turn(state, as_said(profile, DONE))
    assert (outcome.completed, outcome.calls[0].verdict, outcome.calls[0].codes) == (None, "failed", ("open_todos",))
    assert "1 of 2 items open" in outcome.calls[0].reply
    assert "Write b.txt" in outcome.calls[0].reply
    assert (state.mistakes, dict(outcome.failures)) == (1, {"attempt_completion": 1})
    assert outcome.turn_failed == (name != "roo_xml_classic")


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize(("todos", "is_on"), [(ITEMS, False), ((), True), ((("completed", "Write a.txt"),), True)])
def test_a_completion_is_taken_without_the_setting_or_without_an_open_item(
    name: str, todos: tuple[tuple[str, str], ...], is_on: bool
) -> None:
    profile = get_profile(name)
    outcome = profile.take_turn(state_of(replace(CASE, todos=todos, needs_done_todos=is_on)), as_said(profile, DONE))
    assert outcome.completed == "Both are there."


@pytest.mark.parametrize("name", MODERN)
def test_a_refused_completion_fails_the_effect_but_the_task_can_still_be_done(name: str) -> None:
    profile = get_profile(name)
    case = replace(CASE, needs_done_todos=True)
    work = (write("a.txt", "1"), write("b.txt", "2"))
    verdict = judged(profile, case, *work, marks("x", "-"), DONE, marks("x", "x"), DONE)
    failed = [layer for layer in verdict.layers if layer.fault]
    assert [(layer.name, layer.fault, layer.turn) for layer in failed] == [(LayerName.EFFECT, Fault.OPEN_TODOS, 3)]
    assert (verdict.cause, verdict.accepted) == (Cause.EFFECT_FAILED, False)
    assert judged(profile, case, *work, marks("x", "x"), DONE).conforming


@pytest.mark.parametrize("name", MODERN)
def test_a_mark_that_comes_before_its_work_is_named(name: str) -> None:
    profile = get_profile(name)
    steps = (marks("x", " "), write("a.txt", "1"), write("b.txt", "2"), marks("x", "x"), DONE)
    verdict = judged(profile, CASE, *steps)
    layer = next(layer for layer in verdict.layers if layer.name is LayerName.TASK_DONE)
    assert (verdict.conforming, verdict.cause, layer.turn, layer.score) == (False, Cause.WRONG_RESULT, 0, 4 / 5)
    assert verdict.sentence == "'Write a.txt' is marked completed while a.txt is not what the task asks for."
    true = (marks("-", " "), write("a.txt", "1"), marks("x", "-"), write("b.txt", "2"), marks("x", "x"), DONE)
    assert judged(profile, CASE, *true).conforming


@pytest.mark.parametrize("name", MODERN)
def test_a_mark_that_wrong_work_has_earned_is_untrue(name: str) -> None:
    steps = (write("a.txt", "?"), marks("x", "-"), write("a.txt", "1"), write("b.txt", "2"), marks("x", "x"), DONE)
    verdict = judged(get_profile(name), CASE, *steps)
    assert (verdict.cause, next(layer.turn for layer in verdict.layers if layer.fault)) == (Cause.WRONG_RESULT, 1)


def test_the_setting_and_the_items_files_survive_the_document_and_default_to_nothing() -> None:
    case = replace(CASE, needs_done_todos=True)
    assert case_from_document(case_to_document(case)) == case
    plain = case_to_document(replace(CASE, goal=replace(CASE.goal or Goal(), todo_files={})))
    assert "needs_done_todos" not in plain
    assert "todo_files" not in str(plain)


def test_an_items_file_must_be_one_of_the_goal() -> None:
    document = case_to_document(replace(CASE, goal=Goal({"a.txt": "1"}, todo_files={"Write b.txt": "b.txt"})))
    with pytest.raises(CaseError, match=r"goal\.todo_files\.Write b\.txt: 'b\.txt' is not among the goal's files"):
        case_from_document(document)
