"""One sentence on a loop at any moment: what is met, what is not and by how much, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence

from services.feedback.domain.goals import Goal, Reading
from services.feedback.domain.guardrails import guardrail_sentence
from services.feedback.domain.rounds import Round
from services.feedback.domain.rules import best_round, readings_in, spent_by
from services.feedback.domain.spec import LoopSpec


def status_sentence(spec: LoopSpec, rounds: Sequence[Round], elapsed_seconds: float) -> str:
    """Return how the best version so far stands to goals and guardrails, and the cost."""
    cost = spent_by(spec, rounds, elapsed_seconds).sentence
    best = best_round(spec.goals, rounds)
    if best is None:
        goals = ", ".join(f"{goal.words} {goal.text(goal.bound)}" for goal in spec.goals)
        return f"Nothing is measured yet; the goal is {goals}; {cost}."
    readings = readings_in(spec.goals, best)
    results = [_standing(goal, reading) for goal, reading in zip(spec.goals, readings, strict=True)]
    kept = [guardrail_sentence(*pair) for pair in zip(spec.guardrails, best.guardrails, strict=False)]
    rolled_back = [f"round {item.number} is rolled back" for item in rounds if item.is_rolled_back]
    words = "; ".join([*results, *kept, *rolled_back, cost])
    return f"{best.model_version_id} of round {best.number} is the best so far: {words}."


def _standing(goal: Goal, reading: Reading) -> str:
    if goal.is_met(reading):
        return f"met: {goal.sentence(reading)}"
    missing = goal.shortfall(reading)
    amount = f"{100 * missing:.1f} points" if goal.facts.is_share else goal.text(missing)
    return f"missed by {amount}: {goal.sentence(reading)}"
