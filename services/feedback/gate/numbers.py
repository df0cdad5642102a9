"""Numbers: whether a form finds reference answers as likely as the version does, and not as its base did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.feedback.domain.shipment import GateResult, GateStep

# Below this, nats per token, training has changed nothing that could be lost.
_CHANGED = 1e-3
_FAR = 1.0
# Of the margin of the mean: rounded weights move single tokens both ways by a few times what their mean moves.
_SPREAD = 10


@dataclass(frozen=True)
class RowScore:
    """Token ids of a prompt and its answer, the log-probabilities of the answer's tokens, and whether its last ends it.

    A log-probability is None where its server does not tell it.
    """

    token_ids: tuple[int, ...]
    num_prompt_tokens: int
    log_probs: tuple[float | None, ...]
    ends_turn: bool = True


@dataclass(frozen=True)
class Scores:
    """The scores of the same rows by the version, by its form, and by what it was trained from, if that is known."""

    version: Sequence[RowScore]
    form: Sequence[RowScore]
    base: Sequence[RowScore] = ()
    base_model_version_id: str = ""


def log_prob_result(scores: Scores, names: Sequence[str], margin: float) -> GateResult:
    """Return whether the form's log-probabilities are the version's, within the margin in nats per token."""
    pairs = [pair for row in zip(scores.version, scores.form, strict=True) for pair in _pairs(*row)]
    if not pairs:
        problem = "No reference answer fits into the contexts of both the version and the form."
        return GateResult.of(GateStep.LOG_PROBS, problem, passed=False)
    before, after = (sum(values) / len(pairs) for values in zip(*pairs, strict=True))
    problems = _problems(scores, abs(after - before), margin)
    differences = problems + (_rows(scores, names, margin) if problems else [])
    summary = (
        f"A reference answer's token has a mean log-probability of {after:.3f} in the form and {before:.3f} in the "
        f"version, over {len(pairs)} tokens of {len(scores.version)} answers; allowed is a difference of {margin:g}."
    )
    return GateResult.of(GateStep.LOG_PROBS, summary, differences, passed=not problems)


def _problems(scores: Scores, difference: float, margin: float) -> list[str]:
    problems = []
    to_version = _distance(scores.version, scores.form)
    if scores.base:
        changed, to_base = _distance(scores.version, scores.base), _distance(scores.base, scores.form)
        if changed > _CHANGED and to_base < min(to_version, changed):
            problems.append(
                f"weights: the form answers as {scores.base_model_version_id} does, which was trained from "
                f"({to_base:.3f} nats per token from it, {to_version:.3f} from the version): what training changed is "
                "not in it."
            )
        elif changed > _CHANGED and to_version > changed:
            problems.append(
                f"weights: the form is {to_version:.3f} nats per token from the version, and training moved it by "
                f"{changed:.3f} alone: what was trained is lost in the number type."
            )
    if difference > margin:
        hint = "; check that an output matrix of its own was not replaced by the embedding" * (difference > _FAR)
        problems.append(f"weights: log-probabilities differ by {difference:.3f} nats per token{hint}.")
    elif to_version > _SPREAD * margin:
        problems.append(
            f"weights: log-probabilities differ by {to_version:.3f} nats per token, up and down, so that their mean "
            f"hides it; allowed is {_SPREAD * margin:g}."
        )
    return problems


def _rows(scores: Scores, names: Sequence[str], margin: float) -> list[str]:
    distances = [
        (_distance([before], [after]), name)
        for name, before, after in zip(names, scores.version, scores.form, strict=True)
    ]
    return [
        f"weights: {name}: {distance:.3f} nats per token."
        for distance, name in sorted(distances, reverse=True)
        if distance > margin
    ]


def _distance(rows: Sequence[RowScore], others: Sequence[RowScore]) -> float:
    """Return the mean absolute difference of the log-probabilities that both tell."""
    pairs = [pair for row in zip(rows, others, strict=True) for pair in _pairs(*row)]
    return sum(abs(one - other) for one, other in pairs) / len(pairs) if pairs else 0.0


def _pairs(row: RowScore, other: RowScore) -> list[tuple[float, float]]:
    pairs = zip(row.log_probs, other.log_probs, strict=False)
    return [(one, another) for one, another in pairs if one is not None and another is not None]
