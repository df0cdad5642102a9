from dataclasses import replace

import pytest

from services.protocols.cases import Case, CaseError, Expected, Scoring, case_from_document, case_to_document
from services.protocols.profile import NoMaterial, get_profile
from services.protocols.session import Session
from services.protocols.turn import Answer, ToolCall
from services.protocols.verdict import Cause, LayerName, LayerStatus

PROFILE = get_profile("text")
SMOKE = PROFILE.suites()[0]
CASE = Case(
    case_id="one",
    category="k",
    tool="text",
    mode="",
    task="Capital of France?",
    expected=Expected("text", no_call=True),
    template="t",
    reference="Paris",
    prompt=(("system", "Be brief."), ("user", "Hello"), ("assistant", "Hi")),
    scoring=Scoring("f1", ("Paris in France",), 0.5),
)


def task_layer(text: str, case: Case = CASE) -> tuple[LayerStatus, float | None]:
    layer = next(one for one in PROFILE.judge(case, Answer(text)).layers if one.name is LayerName.TASK_DONE)
    return layer.status, layer.score


def test_the_smoke_suite_has_24_cases_whose_references_conform() -> None:
    assert (SMOKE.suite_id, SMOKE.version, len(SMOKE.cases)) == ("text/smoke", 1, 24)
    for case in SMOKE.cases:
        session = Session(PROFILE, case, "compact")
        session.answer(PROFILE.read_answer(PROFILE.reference_answer(case)))
        assert session.stop == "completed"
        assert PROFILE.judge(case, PROFILE.read_answer(case.reference)).conforming, case.case_id
        assert not PROFILE.judge(case, PROFILE.read_answer("I would rather not say.")).conforming, case.case_id


def test_a_case_survives_its_document() -> None:
    assert case_from_document(case_to_document(CASE)) == CASE
    assert "scoring" not in case_to_document(replace(CASE, scoring=None, prompt=()))


def test_the_prompt_stands_before_the_task() -> None:
    assert [message["role"] for message in PROFILE.messages(CASE, "compact")] == ["system", "user", "assistant", "user"]
    assert PROFILE.example(CASE, "compact")["messages"][-1] == {"role": "assistant", "content": "Paris"}


def test_the_layer_bears_the_score_and_the_threshold_decides() -> None:
    assert task_layer("Paris") == (LayerStatus.PASSED, 0.5)
    assert task_layer("Paris, Texas of all places") == (LayerStatus.FAILED, 0.25)
    verdict = PROFILE.judge(CASE, Answer("Rome"))
    assert (verdict.cause, verdict.accepted, verdict.well_formed) == (Cause.WRONG_RESULT, True, True)
    assert verdict.sentence == "The scorer f1 gives 0 of the 0.5 needed; asked for is 'Paris in France'."
    assert PROFILE.judge(CASE, Answer("Paris")).sentence == "The scorer f1 gives 0.5."


def test_reasoning_at_the_start_is_not_scored() -> None:
    exact = replace(CASE, scoring=Scoring("exact", ("Paris",)))
    assert PROFILE.judge(exact, Answer("<think>Rome? No.</think>\nParis")).conforming
    assert PROFILE.judge(exact, Answer("<think>Paris")).cause is Cause.WRONG_RESULT


def test_a_cut_answer_fails_for_the_cut_unless_it_is_right() -> None:
    assert PROFILE.judge(CASE, Answer("It is a city that", finish_reason="length")).cause is Cause.TRUNCATED_BY_LIMIT
    assert PROFILE.judge(CASE, Answer("<think>Hm", finish_reason="length")).cause is Cause.TRUNCATED_BY_LIMIT
    assert PROFILE.judge(CASE, Answer("Paris", finish_reason="length")).conforming


def test_an_answer_for_a_grader_only_must_say_something() -> None:
    graded = replace(CASE, scoring=Scoring("none"))
    assert PROFILE.judge(graded, Answer("Anything")).conforming
    assert task_layer("Anything", graded) == (LayerStatus.NOT_APPLICABLE, None)
    empty = PROFILE.judge(graded, Answer(" \n"))
    assert (empty.conforming, empty.accepted, empty.cause) == (False, False, Cause.WRONG_RESULT)


def test_an_endless_answer_is_not_read() -> None:
    assert PROFILE.judge(CASE, Answer("Paris " * 50_000)).cause is Cause.WRONG_FORMAT


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"scoring": None}, "scoring"),
        ({"scoring": Scoring("guess", ("x",))}, "scoring.scorer"),
        ({"scoring": Scoring("exact")}, "scoring.targets"),
        ({"task": " "}, "task"),
        ({"max_turns": 2}, "max_turns"),
        ({"history": (Answer("x", (ToolCall("f", "{}"),)),)}, "history"),
    ],
)
def test_a_case_that_the_profile_cannot_judge_is_refused(change: dict[str, object], field: str) -> None:
    with pytest.raises(CaseError) as caught:
        PROFILE.check_case(replace(CASE, **change))  # type: ignore[arg-type]
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"scoring": {"scorer": "exact", "threshold": 2}}, r"scoring\.threshold: must be a number from 0 to 1"),
        ({"scoring": {"scorer": "exact", "score": 2}}, r"scoring\.score: is unknown"),
        ({"prompt": [{"role": "robot", "content": ""}]}, r"prompt\[0\]\.role: must be system, user or assistant"),
    ],
)
def test_a_document_that_scores_nonsense_is_refused(document: dict[str, object], problem: str) -> None:
    with pytest.raises(CaseError, match=problem):
        case_from_document({**case_to_document(CASE), **document})


def test_there_is_no_pool() -> None:
    with pytest.raises(NoMaterial):
        next(PROFILE.draw(1, 1, split="probe"))
