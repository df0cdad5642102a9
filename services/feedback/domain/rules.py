"""The rules of a loop: which version is best, when it ends, and with which seed a round goes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from services.feedback.domain.rounds import Rates, Round, Stop, StopReason
from services.feedback.domain.spec import Goal, LoopSpec

# So many rounds in a row may be worse than the best before the loop gives up.
_MAX_WORSE_ROUNDS = 2


def best_round(goals: Sequence[Goal], rounds: Sequence[Round]) -> Round | None:
    """Return the evaluated round with the best rates, by the goals in their order; of equal ones the earliest."""
    best: Round | None = None
    for made in rounds:
        if made.rates and (best is None or best.rates is None or _rank(goals, made.rates) > _rank(goals, best.rates)):
            best = made
    return best


def decide(spec: LoopSpec, rounds: Sequence[Round], elapsed_seconds: float) -> Stop | None:
    """Say whether the loop ends after the last of `rounds`, which has been evaluated, why, and what to try then."""
    last = rounds[-1]
    if last.rates is None:
        raise ValueError("only an evaluated round can be decided on")
    unmet = [goal for goal in spec.goals if last.rates.value(goal.metric) < goal.minimum]
    rates = ", ".join(
        f"the {goal.words} is {last.rates.value(goal.metric):.1%} (goal {goal.minimum:.1%})"
        for goal in unmet or spec.goals
    )
    rates += f", as {spec.shipped_as}" * bool(spec.shipped_as)
    minutes = spec.budget.max_minutes
    best = best_round(spec.goals, rounds) or last
    again = f"Start another loop from {best.model_version_id}"
    if not unmet:
        return Stop(StopReason.GOALS_MET, f"All goals are met after round {last.number}: {rates}.")
    is_over = last.number >= spec.budget.max_rounds or bool(minutes and elapsed_seconds >= minutes * 60)
    if best is not last and (is_over or last.number - best.number >= _MAX_WORSE_ROUNDS):
        kept = f"{best.model_version_id} of round {best.number} stays the best version"
        return Stop(
            StopReason.NO_PROGRESS,
            f"Round {last.number} made nothing better: {rates}; {kept}.",
            f"{again} with more examples per round, another seed or a smaller learning rate.",
        )
    if last.number >= spec.budget.max_rounds:
        return Stop(
            StopReason.OUT_OF_ROUNDS,
            f"All rounds of the budget ({last.number}) are used up: {rates}.",
            f"{again} with more rounds or more examples per round.",
        )
    if minutes and elapsed_seconds >= minutes * 60:
        return Stop(
            StopReason.OUT_OF_TIME,
            f"The budget of {minutes:g} minutes is used up after round {last.number}: {rates}.",
            f"{again} with more minutes.",
        )
    return None


def round_seed(seed: int, number: int) -> int:
    """Return the seed of a round's pool, probe and training: 31 bits that differ by round and by loop seed."""
    digest = hashlib.sha256(f"{seed}/{number}".encode("ascii")).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def _rank(goals: Sequence[Goal], rates: Rates) -> tuple[float, ...]:
    return tuple(rates.value(goal.metric) for goal in goals)
