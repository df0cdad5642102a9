"""The rules of a loop: which version is best, when it ends, and with which seed a round goes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from services.feedback.domain.goals import Goal, Reading
from services.feedback.domain.guardrails import broken, guardrail_sentence
from services.feedback.domain.rounds import Round, Stop, StopReason
from services.feedback.domain.spec import LoopSpec
from services.feedback.domain.spending import Spent, spent_on

# What a release stored that knew no `plateau_rounds` gives up after the first round that makes nothing better.
_OLD_PLATEAU_ROUNDS = 1


def readings_in(goals: Sequence[Goal], item: Round) -> tuple[Reading, ...]:
    """Return what an evaluated round reached of each goal; nothing of one that is not evaluated.

    A round of a release that knew no readings has the rates of the whole suite, and its goals are on those.
    """
    if item.rates is None:
        return ()
    return item.readings or tuple(Reading(item.rates.value(goal.metric)) for goal in goals)


def best_round(goals: Sequence[Goal], rounds: Sequence[Round]) -> Round | None:
    """Return the best evaluated round: one that meets all goals, else by the goals in their order.

    Of equal ones it is the earliest. A version that broke a guardrail is never the best one.
    """
    kept = [item for item in rounds if item.rates and not item.is_rolled_back]
    return max(kept, key=lambda item: (not unmet(goals, item), _rank(goals, item), -item.number), default=None)


def decide(spec: LoopSpec, rounds: Sequence[Round], elapsed_seconds: float) -> Stop | None:
    """Say whether the loop ends after the last of `rounds`, which has been evaluated, why, and what to try then."""
    last = rounds[-1]
    if last.rates is None:
        raise ValueError("only an evaluated round can be decided on")
    results = results_sentence(spec, last)
    if not unmet(spec.goals, last) and not last.is_rolled_back:
        return Stop(StopReason.GOALS_MET, f"All goals are met after round {last.number}: {results}.")
    best = best_round(spec.goals, rounds) or rounds[0]
    reason = _end_of(spec, rounds, elapsed_seconds)
    if reason is None:
        return None
    if best is not last:
        results += f"; {best.model_version_id} of round {best.number} stays the best version"
    return Stop(reason, f"{_why(spec, reason, last)}: {results}.", _advice(reason, best.model_version_id))


def stop_without_lesson(spec: LoopSpec, rounds: Sequence[Round]) -> Stop | None:
    """Say whether the loop ends because the probe of the last round failed nowhere, so that nothing can be learned."""
    last = rounds[-1]
    if last.num_probe_failures != 0:
        return None
    results = results_sentence(spec, best_round(spec.goals, rounds) or last)
    return Stop(
        StopReason.NOTHING_TO_LEARN,
        f"The probe of round {last.number} failed nowhere, so there is nothing to learn from: {results}.",
        f"Start another loop from {last.trained_model_version_id} with more probe cases or another seed; where "
        "the suite fails and its material does not, train on a dataset of your own.",
    )


def unmet(goals: Sequence[Goal], item: Round) -> list[tuple[Goal, Reading]]:
    """Return the goals that an evaluated round does not meet, each with what it reached."""
    pairs = zip(goals, readings_in(goals, item), strict=True)
    return [(goal, reading) for goal, reading in pairs if not goal.is_met(reading)]


def results_sentence(spec: LoopSpec, item: Round) -> str:
    """Return what an evaluated round did not reach, else what it reached, and the guardrails that it broke."""
    pairs = unmet(spec.goals, item) or list(zip(spec.goals, readings_in(spec.goals, item), strict=True))
    words = ", ".join(goal.sentence(reading) for goal, reading in pairs)
    words += f", as {spec.shipped_as}" * bool(spec.shipped_as)
    return "; ".join([words, *(guardrail_sentence(*pair) for pair in broken(spec.guardrails, item.guardrails))])


def spent_by(spec: LoopSpec, rounds: Sequence[Round], elapsed_seconds: float) -> Spent:
    """Return what a loop has cost so far."""
    costs = [item.costs for item in rounds]
    num_rounds = sum(bool(item.training_job_id) for item in rounds)
    return spent_on(costs, num_rounds, elapsed_seconds, spec.budget.price_per_hour)


def round_seed(seed: int, number: int) -> int:
    """Return the seed of a round's pool, probe and training: 31 bits that differ by round and by loop seed."""
    digest = hashlib.sha256(f"{seed}/{number}".encode("ascii")).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def _end_of(spec: LoopSpec, rounds: Sequence[Round], elapsed_seconds: float) -> StopReason | None:
    """Return why no further round is begun; None where one is.

    A loop ends by its guardrails where the round that broke one would have been the last, by its number or because none
    was better for as long as a loop goes on without progress.
    """
    budget, last = spec.budget, rounds[-1]
    if is_plateau(spec, rounds):
        return StopReason.GUARDRAIL_BROKEN if last.is_rolled_back else StopReason.NO_PROGRESS
    if last.number >= budget.max_rounds:
        if last.is_rolled_back:
            return StopReason.GUARDRAIL_BROKEN
        has_improved = best_round(spec.goals, rounds) is not rounds[0]
        return StopReason.OUT_OF_ROUNDS if has_improved or last.number == 0 else StopReason.NO_PROGRESS
    return spent_up(spec, rounds, elapsed_seconds)


def spent_up(spec: LoopSpec, rounds: Sequence[Round], elapsed_seconds: float) -> StopReason | None:
    """Return which bound on time, tokens or money is reached; None where none is."""
    budget, spent = spec.budget, spent_by(spec, rounds, elapsed_seconds)
    bounds = (
        (StopReason.OUT_OF_TIME, budget.max_minutes * 60, elapsed_seconds),
        (StopReason.OUT_OF_TOKENS, budget.max_tokens, spent.num_tokens),
        (StopReason.OUT_OF_MONEY, budget.max_cost, spent.cost),
    )
    return next((reason for reason, bound, amount in bounds if bound and amount >= bound), None)


def is_plateau(spec: LoopSpec, rounds: Sequence[Round]) -> bool:
    """Return whether the last rounds of a plateau were none of them better than the best before by more than chance.

    Better means that the intervals of the first goal do not overlap; a version that broke a guardrail is not better.
    """
    num_rounds = spec.budget.plateau_rounds or _OLD_PLATEAU_ROUNDS
    before = best_round(spec.goals, rounds[:-num_rounds])
    if before is None or len(rounds) <= num_rounds:
        return False
    kept = [item for item in rounds[-num_rounds:] if not item.is_rolled_back]
    return not any(is_better(spec.goals, item, before) for item in kept)


def is_better(goals: Sequence[Goal], item: Round, other: Round) -> bool:
    """Return whether an evaluated round is better than another one by more than chance, by the first goal."""
    goal = goals[0]
    (low, high), (other_low, other_high) = (goal.interval(readings_in(goals, each)[0]) for each in (item, other))
    return high < other_low if goal.facts.is_bounded_above else low > other_high


def _rank(goals: Sequence[Goal], item: Round) -> tuple[float, ...]:
    return tuple(goal.rank(reading) for goal, reading in zip(goals, readings_in(goals, item), strict=True))


def _why(spec: LoopSpec, reason: StopReason, last: Round) -> str:
    budget = spec.budget
    num_rounds = min(budget.plateau_rounds or _OLD_PLATEAU_ROUNDS, last.number)
    return {
        StopReason.GUARDRAIL_BROKEN: f"Round {last.number} lost what it must not, so its version is rolled back",
        StopReason.NO_PROGRESS: (
            f"Round {last.number} made nothing better"
            if num_rounds == 1
            else f"The last {num_rounds} rounds made nothing better by more than chance"
        ),
        StopReason.OUT_OF_ROUNDS: f"All rounds of the budget ({last.number}) are used up",
        StopReason.OUT_OF_TIME: f"The budget of {budget.max_minutes:g} minutes is used up after round {last.number}",
        StopReason.OUT_OF_TOKENS: f"The budget of {budget.max_tokens:,} tokens is used up after round {last.number}",
        StopReason.OUT_OF_MONEY: f"The budget of {budget.max_cost:g} of money is used up after round {last.number}",
    }[reason]


def _advice(reason: StopReason, model_version_id: str) -> str:
    change = {
        StopReason.GUARDRAIL_BROKEN: "a smaller learning rate, fewer examples, or a guardrail that allows more",
        StopReason.NO_PROGRESS: "more examples per round, another seed or a smaller learning rate",
        StopReason.OUT_OF_ROUNDS: "more rounds or more examples per round",
        StopReason.OUT_OF_TIME: "more minutes",
        StopReason.OUT_OF_TOKENS: "more tokens, or fewer examples per round",
        StopReason.OUT_OF_MONEY: "more money, or fewer examples per round",
    }[reason]
    return f"Start another loop from {model_version_id} with {change}."
