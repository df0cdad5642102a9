"""The verdict on an answer in plain text."""

from dataclasses import replace

from services.protocols.cases import Case, CaseError, Scoring
from services.protocols.javascript.text import trim
from services.protocols.plain_text.scorers import NONE, scorer_of
from services.protocols.session.reasoning import answer_start
from services.protocols.turn import Answer
from services.protocols.verdict import Cause, Fault, Layer, LayerName, LayerStatus, Verdict, verdict_of

MAX_CHARACTERS = 1 << 18
"""A longer answer is not read."""

_SHOWN = 80


def scoring_of(case: Case) -> Scoring:
    """Return how the case is scored; CaseError when it does not say."""
    if case.scoring is None:
        raise CaseError("scoring", "is missing")
    return case.scoring


def judge(case: Case, answer: Answer) -> Verdict:
    """Return the verdict: the layer `task_done` bears the score, and names the scorer when it is too low.

    A block of reasoning at the answer's start is not scored. An answer that the token limit cut and that does not
    conform failed for that cut.

    Raises:
        CaseError: the case does not say how it is scored.
    """
    scoring = scoring_of(case)
    if len(answer.text) > MAX_CHARACTERS:
        problem = f"The answer is longer than {MAX_CHARACTERS:,} characters."
        layer = Layer(LayerName.CALL_PRESENT, LayerStatus.FAILED, Fault.ANSWER_TOO_LONG, problem)
        return verdict_of((layer,), accepted=False, tool=None)
    text = trim(answer.text[answer_start(answer.text) :])
    layers = _layers(text, scoring, was_cut=answer.finish_reason == "length")
    verdict = verdict_of(layers, accepted=bool(text), tool=None)
    if not verdict.conforming:
        return replace(verdict, well_formed=bool(text) and verdict.cause is not Cause.TRUNCATED_BY_LIMIT)
    return replace(verdict, sentence=_praise(scoring, layers))


def _layers(text: str, scoring: Scoring, *, was_cut: bool) -> tuple[Layer, ...]:
    name = LayerName.TASK_DONE
    if not text:
        problem = "The answer is empty." if not was_cut else "The token limit cut the answer before it said anything."
        return (_cut(problem),) if was_cut else (Layer(name, LayerStatus.FAILED, Fault.WRONG_RESULT, problem),)
    if scoring.scorer == NONE:
        return (Layer(name, LayerStatus.NOT_APPLICABLE),)
    score = scorer_of(scoring).score(text, scoring)
    if score >= scoring.threshold:
        return (Layer(name, LayerStatus.PASSED, measured=score),)
    problem = f"The scorer {scoring.scorer} gives {score:.3g} of the {scoring.threshold:.3g} needed{_wanted(scoring)}."
    failed = Layer(name, LayerStatus.FAILED, Fault.WRONG_RESULT, problem, measured=score)
    return (_cut("The token limit cut the answer."), failed) if was_cut else (failed,)


def _cut(problem: str) -> Layer:
    return Layer(LayerName.PARSES, LayerStatus.FAILED, Fault.CUT_OFF, problem)


def _wanted(scoring: Scoring) -> str:
    if not scoring.targets:
        return ""
    first = scoring.targets[0]
    return f"; asked for is {first if len(first) <= _SHOWN else f'{first[:_SHOWN]}…'!r}"


def _praise(scoring: Scoring, layers: tuple[Layer, ...]) -> str:
    if scoring.scorer == NONE:
        return "The answer is not compared with anything; a grader may say how good it is."
    return f"The scorer {scoring.scorer} gives {layers[-1].score:.3g}."
