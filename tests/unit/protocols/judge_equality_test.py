"""One library judges in three places: an evaluation, the adherence curve of a training, the simulated client."""

from __future__ import annotations

import pytest

from services.evaluator.judging import judge_all, to_verdict
from services.evaluator.ports import AnswerEnd, Transcript
from services.protocols.cases import Case
from services.protocols.profile import Profile, get_profile, profile_ids
from services.protocols.session import Session, judge_session
from services.protocols.turn import FinishReason
from services.protocols.verdict import Verdict

CASES = [
    (profile, case)
    for profile in map(get_profile, profile_ids())
    for suite in profile.suites()
    for case in suite.cases[:: max(1, len(suite.cases) // 8)]
]


def answers_to(case: Case) -> list[tuple[str, FinishReason]]:
    reference = case.reference
    texts = ["", "plain", reference, f"{reference} and more", reference[:-9], f"{reference}\n{reference}", "<x>\0"]
    return [(text, "stop") for text in texts] + [(reference[:-9], "length")]


def by_session(profile: Profile, case: Case, text: str, reason: FinishReason) -> Verdict:
    session = Session(profile, case, profile.prompt_sizes[0])
    session.answer(profile.read_answer(text, reason))
    return judge_session(profile, case, session.transcript())


@pytest.mark.parametrize(("profile", "case"), CASES, ids=lambda one: getattr(one, "case_id", None) or one.id)
def test_evaluator_and_session_say_what_the_profile_says(profile: Profile, case: Case) -> None:
    for text, reason in answers_to(case):
        library = profile.judge(case, profile.read_answer(text, reason))
        assert by_session(profile, case, text, reason) == library
        transcript = Transcript(1, "t", case.case_id, 0, text, AnswerEnd(reason))
        assert judge_all(profile, {case.case_id: case}, [transcript]) == [to_verdict(library, case, transcript)]


@pytest.mark.parametrize(("profile", "case"), CASES[::4], ids=lambda one: getattr(one, "case_id", None) or one.id)
def test_the_adherence_of_a_training_counts_the_same_verdicts(profile: Profile, case: Case) -> None:
    adherence = pytest.importorskip("services.trainer.training.adherence")
    requests = pytest.importorskip("services.lm.generation.requests")
    question = adherence._Question(profile, case, ())
    for text, reason in answers_to(case):
        result = requests.GenerationResult("0", (), text, reason, 0, 0, 0.0, 0.0)
        assert adherence._conforms(question, result) is by_session(profile, case, text, reason).conforming
