from collections import Counter
from dataclasses import replace

import pytest

from services.protocols.cases import Case
from services.protocols.openai_tools.generation import CATEGORIES, UnknownCategory
from services.protocols.profile import get_profile
from services.protocols.session import Session, judge_session
from services.protocols.suites.overlap import find_overlaps

PROFILE = get_profile("openai_tools")


def drawn(count: int, **choice: object) -> list[Case]:
    return list(PROFILE.generate_cases(1, count, **choice))  # type: ignore[arg-type]


@pytest.mark.parametrize("stock", ["suite", "pool"])
def test_every_reference_conforms_and_the_categories_are_balanced(stock: str) -> None:
    cases = drawn(75, stock=stock)
    for case in cases:
        PROFILE.check_case(case)
        verdict = PROFILE.judge(case, PROFILE.read_answer(case.reference))
        assert verdict.conforming, (case.case_id, verdict.sentence)
    assert Counter(case.category.partition(".")[0] for case in cases) == dict.fromkeys(CATEGORIES, 15)


def test_the_client_refuses_what_a_recovery_begins_with() -> None:
    for case in drawn(40, categories=("recovery",)):
        session = Session(PROFILE, case, "compact")
        slip = session.transcript().history[0]
        assert [call.verdict for call in slip.outcome.calls] == ["failed"]
        session.answer(PROFILE.read_answer(case.reference))
        assert judge_session(PROFILE, case, session.transcript()).conforming


def test_a_needless_call_and_a_missing_one_do_not_conform() -> None:
    calls, silence = drawn(20, categories=("tool_choice",)), drawn(20, categories=("no_call_due",))
    for case, other in zip(calls, silence, strict=True):
        assert not PROFILE.judge(case, PROFILE.read_answer(other.reference)).conforming
        armed = replace(other, tools=case.tools)
        assert PROFILE.judge(armed, PROFILE.read_answer(case.reference)).cause == "needless_call"


def test_the_stocks_share_nothing() -> None:
    suite, pool = drawn(75, stock="suite"), drawn(300)
    once = [replace(case, history=()) for case in (*suite, *pool)]
    assert find_overlaps(once[:75], once[75:], closed_tools=PROFILE.closed_tools) == []


def test_splits_share_no_task() -> None:
    tasks = [{case.task for case in drawn(60, split=split)} for split in ("train", "validation", "probe")]
    assert not tasks[0] & tasks[1] and not tasks[0] & tasks[2] and not tasks[1] & tasks[2]


def test_an_unknown_category_is_named() -> None:
    with pytest.raises(UnknownCategory, match="tool_choise"):
        drawn(1, categories=("tool_choise",))
