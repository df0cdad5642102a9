import json
from collections import Counter
from dataclasses import replace
from typing import Literal

import pytest

from services.protocols.cases import Case, case_from_document, case_to_document
from services.protocols.material.catalogue import SINGLE_CALL
from services.protocols.openai_tools.scenario_case import CATALOGUE
from services.protocols.openai_tools.scenarios.edits import NOTES, edit
from services.protocols.openai_tools.scenarios.recovery import RECOVERY
from services.protocols.profile import get_profile
from services.protocols.session import Session, Transcript, judge_session
from services.protocols.suites.overlap import find_overlaps
from services.protocols.turn import Answer
from services.protocols.verdict import Cause, Verdict

PROFILE = get_profile("openai_tools")
STOCKS: tuple[Literal["suite", "pool"], ...] = ("suite", "pool")


def drawn(count: int, **choice: object) -> list[Case]:
    return list(PROFILE.draw(1, count, **choice))  # type: ignore[arg-type]


def played(case: Case, answers: tuple[Answer, ...], size: str) -> Transcript:
    session = Session(PROFILE, case, size)
    for answer in answers:
        if not session.stop:
            session.answer(PROFILE.as_written(answer, size))
    return session.transcript()


def judged(case: Case, answers: tuple[Answer, ...], size: str = "bare") -> Verdict:
    return judge_session(PROFILE, case, played(case, answers, size))


def solution_of(case: Case) -> tuple[Answer, ...]:
    return case.solution or (PROFILE.read_answer(case.reference),)


def tasks(count: int) -> list[Case]:
    found = drawn(count, categories=("search_read_edit", "todo_turns", "ask_when_unclear"), stock="suite")
    return [case for case in found if case.solution]


@pytest.mark.parametrize("stock", STOCKS)
def test_every_kind_has_cases_whose_solution_conforms(stock: Literal["suite", "pool"]) -> None:
    cases = [
        case
        for name, kinds in CATALOGUE.categories.items()
        for case in drawn(len(kinds) * (4 if name == SINGLE_CALL else 1), categories=(name,), stock=stock)
    ]
    kinds = {f"{category}.{kind}" for category, found in CATALOGUE.categories.items() for kind in found}
    assert {case.category for case in cases} == kinds
    for case in cases:
        PROFILE.check_case(case)
        for size in ("bare", "compact"):
            verdict = judged(case, solution_of(case), size)
            assert verdict.conforming, (case.case_id, case.category, verdict.sentence)
        assert PROFILE.read_answer(case.reference).calls or case.expected.no_call


def test_a_suite_of_360_cases_is_balanced_over_categories_and_functions() -> None:
    assert len(PROFILE.categories) >= 12
    for seed in range(2):
        cases = list(PROFILE.draw(seed, 360, stock="suite"))
        tools = Counter(case.tool for case in cases)
        categories = Counter(case.category.partition(".")[0] for case in cases)
        assert max(tools.values()) <= 36
        assert len(tools) >= 40
        assert set(categories.values()) <= {24}
        assert len({case.case_id for case in cases}) == len({case.task for case in cases}) == 360


def test_equal_seeds_give_equal_cases_and_a_case_survives_its_document() -> None:
    cases = drawn(140, stock="suite")
    assert cases == drawn(140, stock="suite")
    assert cases != list(PROFILE.draw(2, 140, stock="suite"))
    for case in cases:
        assert case_from_document(json.loads(json.dumps(case_to_document(case)))) == case


def test_a_call_that_a_task_of_the_suite_ends_in_is_seen_in_the_pool() -> None:
    suite = drawn(5, categories=("search_read_edit",), stock="suite")
    stolen, clean = suite[2], drawn(3, categories=("search_read_edit",))[2]
    assert stolen.goal and clean.goal and stolen.goal.calls
    planted = replace(clean, goal=replace(clean.goal, calls=stolen.goal.calls))
    assert find_overlaps(suite, [clean], closed_tools=PROFILE.closed_tools) == []
    assert [one.kind for one in find_overlaps(suite, [planted])] == ["arguments"]


def test_a_task_that_is_left_half_done_does_not_conform() -> None:
    for case in tasks(120):
        assert not judged(case, case.solution[:-1]).conforming
        work = next(place for place, answer in enumerate(case.solution[:-1]) if is_work(case, answer))
        without = case.solution[:work] + case.solution[work + 1 :]
        assert not judged(case, without).conforming, case.category


def is_work(case: Case, answer: Answer) -> bool:
    assert case.goal
    asked = {call.tool for call in case.goal.calls or ()} | {"edit_note", "replace_in_page", "write_note"}
    return any(call.name in asked for call in answer.calls)


def test_work_that_is_done_twice_is_needless_and_looking_twice_is_not() -> None:
    for case in drawn(60, categories=("search_read_edit",), stock="suite"):
        look, *rest = case.solution
        assert judged(case, (look, look, *rest)).conforming, case.category
        if case.goal and case.goal.calls:
            act, closing = rest
            verdict = judged(case, (look, act, act, closing))
            assert (verdict.conforming, verdict.cause) == (False, Cause.NEEDLESS_CALL)


def test_another_argument_in_the_middle_of_a_task_is_seen_where_it_stands() -> None:
    case = next(one for one in tasks(60) if one.category == "search_read_edit.whole_stock")
    look, act, closing = case.solution
    raw = json.loads(act.calls[0].arguments)
    wrong = replace(act, calls=(replace(act.calls[0], arguments=json.dumps({**raw, "quantity": 1})),))
    verdict = judged(case, (look, wrong, closing))
    failed = next(layer for layer in verdict.layers if layer.fault)
    assert (verdict.cause, failed.turn) == (Cause.WRONG_ARGUMENTS, 1)
    assert failed.detail.startswith("Answer 2: In move_stock, quantity is 1")


def test_the_client_refuses_what_a_recovery_begins_with_by_the_code_of_its_kind() -> None:
    codes = {"denied_by_user", "repeated_call"}
    for case in drawn(len(RECOVERY), categories=("recovery",)):
        last = played(case, (), "compact").history[-1]
        code = case.category.split(".")[1]
        if code == "empty_answer":
            assert (last.outcome.calls, last.replies[0]["role"]) == ((), "user")
            continue
        code = "foreign_parameter" if case.category.endswith(".extra") else code
        assert [call.codes for call in last.outcome.calls] == [(code,)], case.category
        codes.add(code)
    assert codes >= {
        *("bad_json", "not_an_object", "unknown_tool", "missing_param", "bad_value"),
        *("file_not_found", "no_match", "several_matches", "identical", "empty_search"),
    }


def test_the_same_mistake_again_does_not_conform() -> None:
    for case in drawn(len(RECOVERY), categories=("recovery",), stock="suite"):
        assert not PROFILE.judge(case, case.history[-1]).conforming, case.category


def test_a_history_is_text_where_calls_are_text() -> None:
    case = drawn(1, categories=("completion",))[0]
    compact, bare = (PROFILE.messages(case, size) for size in ("compact", "bare"))
    assert compact[2]["content"].count("<tool_call>") == len(case.history[0].calls)
    assert "tool_calls" not in compact[2] and "tool_calls" in bare[2]


def test_a_needless_call_and_a_missing_one_do_not_conform() -> None:
    calls, silence = drawn(20, categories=("tool_choice",)), drawn(20, categories=("no_call_due",))
    for case, other in zip(calls, silence, strict=True):
        assert not PROFILE.judge(case, PROFILE.read_answer(other.reference)).conforming
        armed = replace(other, tools=case.tools, effects=case.effects)
        assert PROFILE.judge(armed, PROFILE.read_answer(case.reference)).cause is Cause.NEEDLESS_CALL


def test_a_question_must_be_one_and_a_report_must_name_what_came_out() -> None:
    for case in drawn(12, categories=("completion",)):
        assert PROFILE.judge(case, Answer("It is done.")).cause is Cause.WRONG_RESULT
    for case in drawn(7, categories=("ask_when_unclear",)):
        if not case.solution:
            assert PROFILE.judge(case, Answer("I cannot do that.")).cause is Cause.WRONG_RESULT


def test_what_a_limit_withholds_is_not_on_offer() -> None:
    for case in drawn(18, categories=("limits",), stock="suite"):
        names = {str(tool["function"]["name"]) for tool in case.tools}  # type: ignore[index]
        withheld = {"no_order": "place_order", "no_refund": "refund_invoice", "mail_or_post": "send_mail"}
        assert withheld.get(case.category.partition(".")[2]) not in names


@pytest.mark.parametrize("old", ["grey", "red"])
def test_an_edit_of_no_place_or_of_several_is_not_drawn(old: str) -> None:
    with pytest.raises(ValueError, match="once"):
        edit(NOTES, "n", "red\nblue\nred", old, "pink")
