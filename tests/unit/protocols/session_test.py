import hashlib
import re
from dataclasses import replace

import pytest

from services.protocols.cases import Case, Expected, Goal
from services.protocols.profile import get_profile
from services.protocols.session import Session, SessionOver, Transcript, judge_session
from services.protocols.turn import Answer, ToolCall
from services.protocols.verdict import Cause, LayerName, LayerStatus, Verdict

ROO = get_profile("roo_xml")
FUNCTIONS = get_profile("openai_tools")
CASE = Case(
    case_id="c1",
    category="task",
    tool="apply_diff",
    mode="code",
    task="Make line two loud.",
    expected=Expected("apply_diff", {"path": "a.py"}),
    template="t",
    reference="r",
    files={"a.py": "one\ntwo\n", "b.py": "three\n"},
    max_turns=6,
    goal=Goal(files={"a.py": "one\nTWO\n"}, mentions=("a.py",), tools=("apply_diff",)),
)
READ = Answer("<read_file>\n<args>\n<file>\n<path>a.py</path>\n</file>\n</args>\n</read_file>")
DIFF = Answer(
    "<apply_diff>\n<path>a.py</path>\n<diff>\n<<<<<<< SEARCH\n:start_line:2\n-------\ntwo\n=======\nTWO\n"
    ">>>>>>> REPLACE\n</diff>\n</apply_diff>"
)
BAD_DIFF = Answer(DIFF.text.replace("\ntwo\n", "\n2\n"))
DONE = Answer("<attempt_completion>\n<result>\nLine two of a.py is loud.\n</result>\n</attempt_completion>")
CHAT = Answer("I would rather talk.")
TODOS = Answer("<update_todo_list>\n<todos>\n[x] read\n[ ] change\n</todos>\n</update_todo_list>")


def played(case: Case, *answers: Answer) -> Transcript:
    session = Session(ROO, case, "compact")
    for answer in answers:
        session.answer(answer)
    return session.transcript()


def judged(case: Case, *answers: Answer) -> Verdict:
    return judge_session(ROO, case, played(case, *answers))


def layer(verdict: Verdict, name: LayerName) -> tuple[LayerStatus, float | None, int]:
    found = next(layer for layer in verdict.layers if layer.name is name)
    return found.status, found.score, found.turn


def test_a_task_that_is_done_without_a_slip_conforms() -> None:
    transcript = played(CASE, READ, TODOS, DIFF, DONE)
    verdict = judge_session(ROO, CASE, transcript)
    assert (transcript.stop, transcript.files["a.py"]) == ("completed", "one\nTWO\n")
    assert transcript.todos == (("completed", "read"), ("pending", "change"))
    assert (verdict.conforming, verdict.accepted, verdict.well_formed, verdict.cause) == (True, True, True, None)
    assert layer(verdict, LayerName.TASK_DONE)[0] is LayerStatus.PASSED


def test_the_messages_alternate_and_hold_what_was_answered() -> None:
    session = Session(ROO, CASE, "compact")
    assert session.messages == ROO.messages(CASE, "compact")
    session.answer(READ)
    assert [message["role"] for message in session.messages] == ["system", "user", "assistant", "user"]
    assert session.messages[2]["content"] == READ.text
    assert "2 | two" in session.messages[3]["content"]
    session.answer(DONE)
    assert session.messages[-1] == {"role": "assistant", "content": DONE.text}
    assert session.tools == []


def test_equal_answers_give_equal_bytes() -> None:
    answers = (READ, BAD_DIFF, CHAT, Answer("\ud800 \0 <read_file>"), DIFF, DONE)
    texts = [played(CASE, *answers).text() for _ in range(3)]
    assert len({hashlib.sha256(text.encode()).digest() for text in texts}) == 1
    assert played(CASE, *answers[:3]).text() != texts[0]


def test_a_recovered_slip_is_counted_but_the_task_is_done() -> None:
    verdict = judged(CASE, READ, BAD_DIFF, DIFF, DONE)
    assert (verdict.conforming, verdict.accepted, verdict.well_formed) == (False, False, True)
    assert verdict.cause is Cause.EFFECT_FAILED
    assert layer(verdict, LayerName.EFFECT) == (LayerStatus.FAILED, 0.75, 1)
    assert layer(verdict, LayerName.TASK_DONE)[0] is LayerStatus.PASSED
    assert "no_match" in verdict.sentence


def test_a_slip_of_form_names_the_answer_and_the_place() -> None:
    verdict = judged(CASE, READ, replace(DIFF, text=DIFF.text + "\nDone!"), DONE)
    failed = next(layer for layer in verdict.layers if layer.status is LayerStatus.FAILED)
    assert (verdict.cause, failed.turn, failed.score) == (Cause.TEXT_AFTER, 1, 2 / 3)
    assert verdict.sentence.startswith("Answer 2: ")
    assert failed.span is not None


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ((READ, DONE), "a.py is not what the task asks for."),
        ((DIFF, Answer(DONE.text.replace(" of a.py", ""))), "The result does not mention 'a.py'."),
        (
            (DIFF, Answer("<write_to_file>\n<path>c.py</path>\n<content>\nx\n</content>\n</write_to_file>"), DONE),
            "c.py is there, though it should not be.",
        ),
        (
            (DIFF, Answer("<write_to_file>\n<path>b.py</path>\n<content>\nx\n</content>\n</write_to_file>"), DONE),
            "b.py is not what the task asks for.",
        ),
    ],
)
def test_the_final_workspace_and_the_result_are_checked(answers: tuple[Answer, ...], sentence: str) -> None:
    verdict = judged(replace(CASE, goal=replace(CASE.goal or Goal(), tools=())), *answers)
    assert (verdict.cause, verdict.sentence) == (Cause.WRONG_RESULT, sentence)


def test_a_goal_may_ask_for_a_file_to_be_gone_and_for_a_checklist() -> None:
    goal = Goal(files={"a.py": "one\nTWO\n", "b.py": None}, todos=(("completed", "read"), ("completed", "change")))
    verdict = judged(replace(CASE, goal=goal), TODOS, DIFF, DONE)
    assert layer(verdict, LayerName.TASK_DONE)[1] == 1 / 3
    assert verdict.sentence == "b.py is there, though it should not be."


def test_the_goals_tools_must_have_done_their_work() -> None:
    verdict = judged(replace(CASE, goal=Goal(tools=("apply_diff", "read_file"))), READ, DONE)
    assert (verdict.cause, layer(verdict, LayerName.RIGHT_TOOL)[1]) == (Cause.WRONG_TOOL, 0.5)


def test_the_session_stops_at_the_mistake_limit_after_the_grace() -> None:
    session = Session(ROO, CASE, "compact")
    for number in range(4):
        assert session.stop is None, number
        session.answer(CHAT)
    assert session.stop == "mistake_limit"
    verdict = judge_session(ROO, CASE, session.transcript())
    assert (verdict.cause, layer(verdict, LayerName.TASK_DONE)[0]) == (Cause.NO_CALL, LayerStatus.FAILED)
    with pytest.raises(SessionOver, match="mistake_limit"):
        session.answer(DONE)


def test_the_session_stops_at_the_fourth_equal_call() -> None:
    transcript = played(CASE, READ, READ, READ, READ)
    assert transcript.stop == "repetition"
    assert judge_session(ROO, CASE, transcript).cause in (Cause.STOPPED, Cause.WRONG_TOOL)
    assert judged(replace(CASE, goal=None), READ, READ, READ, READ).cause is Cause.STOPPED


def test_the_session_stops_when_the_turns_run_out() -> None:
    transcript = played(replace(CASE, max_turns=2, goal=None), READ, DIFF)
    verdict = judge_session(ROO, replace(CASE, max_turns=2, goal=None), transcript)
    assert (transcript.stop, verdict.cause) == ("turn_budget", Cause.STOPPED)
    assert verdict.sentence == "The turns ran out before the task was done."


def test_a_session_that_is_broken_off_is_not_done() -> None:
    assert judged(replace(CASE, goal=None), READ).sentence == "The session ended before the task was done."
    verdict = judged(CASE)
    assert (verdict.conforming, verdict.well_formed, verdict.cause) == (False, False, Cause.STOPPED)


def test_history_is_played_before_the_models_first_turn() -> None:
    case = replace(CASE, history=(READ, BAD_DIFF), max_turns=1, goal=None)
    session = Session(ROO, case, "compact")
    assert session.messages == ROO.messages(case, "compact")
    assert [message["role"] for message in session.messages] == ["system", "user", *("assistant", "user") * 2]
    session.answer(DIFF)
    transcript = session.transcript()
    assert (len(transcript.history), len(transcript.turns), transcript.stop) == (2, 1, "turn_budget")
    assert judge_session(ROO, case, transcript) == ROO.judge(case, DIFF)
    assert ROO.judge(case, DIFF).conforming


def test_a_judge_sees_the_workspace_as_the_history_left_it() -> None:
    case = replace(CASE, history=(DIFF,), max_turns=1, goal=None)
    again = ROO.judge(case, DIFF)
    assert (again.accepted, again.cause) == (False, Cause.EFFECT_FAILED)
    case = replace(CASE, history=(READ, READ, READ), max_turns=1, goal=None, expected=Expected("read_file", {}))
    verdict = ROO.judge(case, READ)
    assert not verdict.accepted
    assert any(layer.fault == "repeated_call" for layer in verdict.layers)


def test_the_goal_is_held_against_the_workspace_after_the_history() -> None:
    case = replace(CASE, history=(DIFF,), goal=Goal())
    assert judged(case, DONE).conforming


def test_an_example_of_a_case_with_history_ends_with_the_reference() -> None:
    case = replace(CASE, history=(READ,), reference=DIFF.text)
    messages = ROO.example(case, "compact")["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user", "assistant"]
    assert messages[-1]["content"] == DIFF.text


@pytest.mark.parametrize("text", ["", " \n", "\0", "\udfff", "<read_file>" * 2_000, "a" * 1_100_000, "[" * 100_000])
def test_hostile_answers_end_in_a_verdict(text: str) -> None:
    verdict = judged(CASE, Answer(text))
    assert not verdict.conforming
    assert verdict.cause is not None


def test_ids_of_calls_fit_every_template_and_come_once_in_a_conversation() -> None:
    order = FUNCTIONS.suites()[0].cases[0]
    calls = (ToolCall(order.tool, "{}"), ToolCall(order.tool, "{}", "mine"), ToolCall(order.tool, "{}", "mine"))
    case = replace(order, history=(Answer("", calls), Answer("", calls)), max_turns=40, goal=Goal())
    session = Session(FUNCTIONS, case, "bare")
    session.answer(Answer("", calls[:1] * 90))
    asked = [call["id"] for message in session.messages for call in message.get("tool_calls", ())]
    answered = [message["tool_call_id"] for message in session.messages if message["role"] == "tool"]
    assert asked == answered and len(set(asked)) == len(asked) > 80
    assert all(re.fullmatch("[a-zA-Z0-9]{9}", call_id) for call_id in asked if call_id != "mine")


def test_the_call_of_an_example_has_another_id_than_those_before_it() -> None:
    order = FUNCTIONS.suites()[0].cases[0]
    case = replace(order, history=(Answer("", (ToolCall(order.tool, "{}"),)),))
    messages = FUNCTIONS.example(case, "bare")["messages"]
    first, last = (message["tool_calls"][0]["id"] for message in messages if message["role"] == "assistant")
    assert first != last and re.fullmatch("[a-zA-Z0-9]{9}", last)
