"""One library judges in three places: an evaluation, the adherence curve of a training, the simulated client."""

from __future__ import annotations

import pytest

from services.evaluator.judging.answers import Judge
from services.evaluator.ports import AnswerEnd, GivenAnswer, Transcript
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


ONE_ANSWER = [(profile, case) for profile, case in CASES if case.max_turns == 1 and case.goal is None]


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
        expected = by_session(profile, case, text, reason)
        if case.max_turns == 1 and case.goal is None:
            assert expected == profile.judge(case, profile.read_answer(text, reason))
        transcript = Transcript(1, "t", case.case_id, 0, (GivenAnswer(text, AnswerEnd(reason)),))
        [found] = Judge(profile, profile.prompt_sizes[0]).judge_all({case.case_id: case}, [transcript])
        assert (found.conforming, found.accepted, found.well_formed, found.cause, found.sentence) == (
            *(expected.conforming, expected.accepted, expected.well_formed),
            *(expected.cause or "", expected.sentence),
        )
        told = [(layer.name, layer.status, layer.detail, layer.span, layer.score) for layer in expected.layers]
        assert [(one.name, one.status, one.detail, one.span, one.score) for one in found.layers] == told


@pytest.mark.parametrize(("profile", "case"), ONE_ANSWER[::4], ids=lambda one: getattr(one, "case_id", None) or one.id)
def test_the_adherence_of_a_training_counts_the_same_verdicts(profile: Profile, case: Case) -> None:
    adherence = pytest.importorskip("services.trainer.training.adherence")
    requests = pytest.importorskip("services.lm.generation.requests")
    question = adherence._Question(profile, case, ())
    for text, reason in answers_to(case):
        result = requests.GenerationResult("0", (), text, reason, 0, 0, 0.0, 0.0)
        assert adherence._conforms(question, result) is by_session(profile, case, text, reason).conforming
