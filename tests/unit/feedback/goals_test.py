"""A goal is kept by the end of an interval, and what must not be lost is measured against the first version."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.chassis.errors import InvalidArgument
from services.chassis.wire import from_document, to_document
from services.evaluator.metrics.intervals import share_interval as interval_of_evaluations
from services.feedback.domain.goals import METRICS, Goal, Reading, share_interval
from services.feedback.domain.guardrails import Change, Guardrail, GuardrailReading, measured
from services.feedback.domain.loop import status_sentence
from services.feedback.domain.rounds import Rates, Round, StopReason, round_from_document, round_to_document
from services.feedback.domain.rules import best_round, decide, is_plateau, stop_without_lesson
from services.feedback.domain.spec import Budget, LoopSpec, as_first_sent, check, check_slices
from services.feedback.domain.spending import Cost

SURE = Goal("conforming_rate", 0.8, confidence=0.95)
OLD_DOCUMENT: dict[str, Any] = {
    "model_version_id": "tiny@1",
    "test_suite_version_id": "roo_xml/core@1",
    "goals": [{"metric": "conforming_rate", "minimum": 0.8}],
    "budget": {"max_rounds": 5},
}
OLD_SPEC = from_document(LoopSpec, OLD_DOCUMENT)
SPEC = replace(OLD_SPEC, goals=(SURE,), budget=Budget(5, 0.0, plateau_rounds=2))
GUARDRAIL = Guardrail("text/smoke@1", "conforming_rate", 0.01, 0.0, "plain")


def played(*values: float, num_cases: int = 130, **more: Any) -> list[Round]:
    return [
        Round(
            number,
            f"tiny@{number + 1}",
            rates=Rates(value, value, value),
            readings=(Reading(value, num_cases),),
            **more,
        )
        for number, value in enumerate(values)
    ]


def kept(change: float) -> tuple[GuardrailReading, ...]:
    return (measured(GUARDRAIL, GuardrailReading("r", "e"), 0.5 + change, Change(change, change - 0.1, change + 0.1)),)


@pytest.mark.parametrize(("count", "total"), [(0, 10), (5, 10), (10, 10), (96, 130), (1, 308)])
def test_the_interval_is_the_one_that_evaluations_show(count: int, total: int) -> None:
    interval = interval_of_evaluations(count, total)
    assert share_interval(Reading(count / total, total), 0.95) == pytest.approx((interval.low, interval.high))


def test_the_lower_end_counts_and_not_the_share() -> None:
    lucky, sure = Reading(0.81, 130), Reading(0.87, 130)
    assert not SURE.is_met(lucky) and SURE.is_met(sure)
    assert replace(SURE, confidence=0.0).is_met(lucky)
    words = "the conforming rate is 81.0% (73.4% to 86.8% at 95% confidence, goal 80.0% for the share itself)"
    assert replace(SURE, confidence=0.0).sentence(lucky) == words
    stop = decide(replace(SPEC, budget=Budget(0, 0.0, 2)), played(0.81), 0.0)
    assert stop is not None and stop.reason is StopReason.OUT_OF_ROUNDS
    assert "81.0% (73.4% to 86.8% at 95% confidence, goal 80.0%)" in stop.sentence


def test_what_is_bounded_above_must_stay_below_with_its_upper_end() -> None:
    goal = Goal("cause_rate", slice="cause=no_call", maximum=0.05, confidence=0.95)
    assert not goal.is_met(Reading(0.03, 130)) and goal.is_met(Reading(0.0, 130))
    slow = Goal("seconds_per_answer", maximum=2.0, confidence=0.95)
    assert slow.is_met(Reading(2.0, 130)) and not slow.is_met(Reading(2.1, 130))
    assert slow.sentence(Reading(2.1, 130)) == "the time per answer is 2.1 s (goal at most 2 s)"


def test_a_slice_without_an_answer_meets_nothing() -> None:
    goals = [Goal(name, 0.0, maximum=0.5, confidence=confidence) for name in METRICS for confidence in (0.95, 0.0)]
    assert not any(goal.is_met(Reading(0.0)) for goal in goals)


def test_a_goal_that_an_earlier_release_stored_keeps_its_meaning() -> None:
    assert OLD_SPEC.goals[0].is_met(Reading(0.8))
    stop = decide(OLD_SPEC, [Round(0, "tiny@1", rates=Rates(0.8, 0.8, 0.8))], 0.0)
    assert stop is not None and stop.reason is StopReason.GOALS_MET
    worse = [Round(number, "tiny@1", rates=Rates(0.2, 0.2, 0.2)) for number in range(2)]
    stop = decide(OLD_SPEC, worse, 0.0)
    assert stop is not None and stop.reason is StopReason.NO_PROGRESS
    assert to_document(OLD_SPEC) == OLD_DOCUMENT
    assert to_document(SPEC)["goals"][0]["confidence"] == 0.95
    assert as_first_sent(SPEC, OLD_SPEC) == OLD_SPEC and as_first_sent(SPEC, SPEC) == SPEC


def test_a_round_survives_storage_and_one_of_an_earlier_release_is_read() -> None:
    made = played(0.5, guardrails=kept(-0.02), costs={"test": Cost(2.0, 5)})[0]
    document = round_to_document(made)
    assert round_from_document(document) == made
    for name in ("readings", "guardrails", "costs", "base_model_version_id", "num_probe_failures"):
        del document[name]
    assert round_from_document(document).rates == made.rates


def test_a_loop_gives_up_when_the_intervals_of_rounds_overlap_with_the_best_before() -> None:
    assert not is_plateau(SPEC, played(0.3, 0.32))
    assert is_plateau(SPEC, played(0.3, 0.32, 0.35))
    assert not is_plateau(SPEC, played(0.3, 0.34, 0.6))
    stop = decide(SPEC, played(0.3, 0.32, 0.35), 0.0)
    assert stop is not None and stop.reason is StopReason.NO_PROGRESS
    assert stop.sentence.startswith("The last 2 rounds made nothing better by more than chance")


def test_a_version_that_lost_too_much_is_rolled_back_and_never_meets_the_goals() -> None:
    spec = replace(SPEC, guardrails=(GUARDRAIL,))
    first, lossy = replace(played(0.3)[0], guardrails=kept(0.0)), replace(played(0.3, 0.95)[1], guardrails=kept(-0.04))
    assert best_round(spec.goals, [first, lossy]) is first
    assert decide(spec, [first, lossy], 0.0) is None
    stop = decide(replace(spec, budget=Budget(1, 0.0, 2)), [first, lossy], 0.0)
    assert stop is not None and stop.reason is StopReason.GUARDRAIL_BROKEN
    assert "-4.0 points" in stop.sentence and "tiny@1 of round 0 stays the best version" in stop.sentence
    assert "tiny@1" in stop.next_step
    assert "round 1 is rolled back" in status_sentence(spec, [first, lossy], 60.0)


def test_a_version_that_meets_all_goals_is_better_than_one_that_is_ahead_in_the_first() -> None:
    spec = replace(SPEC, goals=(replace(SURE, minimum=0.5), Goal("accepted_rate", 0.9, confidence=0.0)))
    ahead, last = played(0.8, 0.7)
    ahead = replace(ahead, readings=(Reading(0.8, 130), Reading(0.85, 130)))
    last = replace(last, readings=(Reading(0.7, 130), Reading(0.95, 130)))
    stop = decide(spec, [ahead, last], 0.0)
    assert stop is not None and stop.reason is StopReason.GOALS_MET
    assert best_round(spec.goals, [ahead, last]) is last
    assert "missed" not in status_sentence(spec, [ahead, last], 0.0)


@pytest.mark.parametrize(
    ("confidence", "change", "is_broken"),
    [
        (0.0, Change(-0.01, -0.05, 0.03), False),
        (0.0, Change(-0.02, -0.05, 0.01), True),
        (0.95, Change(-0.04, -0.09, 0.01), False),
        (0.95, Change(-0.09, -0.15, -0.03), True),
        (0.999, Change(-0.05, -0.08, -0.02), False),
    ],
)
def test_a_loss_counts_by_itself_or_by_the_end_of_its_interval(
    confidence: float, change: Change, is_broken: bool
) -> None:
    reading = measured(replace(GUARDRAIL, confidence=confidence), GuardrailReading("r", "e"), 0.5, change)
    assert (reading.is_broken, reading.test_run_id, reading.is_measured) == (is_broken, "r", True)


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        (Budget(5, 0.0, 2, max_tokens=500), StopReason.OUT_OF_TOKENS),
        (Budget(5, 0.0, 2, max_tokens=501), None),
        (Budget(5, 0.0, 2, max_cost=2.0, price_per_hour=4.0), StopReason.OUT_OF_MONEY),
        (Budget(5, 0.0, 2, max_cost=2.1, price_per_hour=4.0), None),
    ],
)
def test_tokens_and_money_are_spent_by_what_the_services_counted(budget: Budget, reason: StopReason | None) -> None:
    costs = {"test": Cost(600.0, 100), "train": Cost(1200.0, 0, 400)}
    spec, rounds = replace(SPEC, budget=budget), played(0.3, costs=costs)
    stop = decide(spec, rounds, 0.0)
    assert (stop.reason if stop else None) is reason
    assert "500 tokens" in status_sentence(spec, rounds, 0.0)
    assert (not stop) or stop.next_step


def test_a_probe_that_fails_nowhere_leaves_nothing_to_learn_from() -> None:
    stop = stop_without_lesson(SPEC, played(0.3, num_probe_failures=0))
    assert stop is not None and stop.reason is StopReason.NOTHING_TO_LEARN and stop.next_step
    assert stop_without_lesson(SPEC, played(0.3, num_probe_failures=1)) is None


def test_the_status_says_what_is_met_what_is_missing_and_the_cost() -> None:
    spec = replace(SPEC, goals=(SURE, Goal("accepted_rate", 0.5, confidence=0.95)))
    rounds = [replace(played(0.7)[0], readings=(Reading(0.7, 130), Reading(0.9, 130)))]
    assert status_sentence(spec, [], 0.0).startswith("Nothing is measured yet; the goal is conforming rate 80.0%")
    sentence = status_sentence(spec, rounds, 90.0)
    assert "tiny@1 of round 0 is the best so far: missed by 18.4 points: the conforming rate is 70.0%" in sentence
    assert "met: the accepted rate is 90.0%" in sentence and sentence.endswith("1.5 minutes, 0 tokens so far.")


@pytest.mark.parametrize(
    ("changes", "words", "field"),
    [
        ({"goals": (SURE, replace(SURE, minimum=0.5))}, "twice for the same cases", "spec.goals"),
        ({"goals": (Goal("conforming_rate", 0.5, slice="layer=parses"),)}, "not counted by", "spec.goals[0].slice"),
        ({"goals": (Goal("layer_rate", 0.5, slice="layer=none"),)}, "layer=none", "spec.goals[0].slice"),
        ({"goals": (Goal("cause_rate", 0.5, slice="cause=no_call"),)}, "maximum above 0", "spec.goals[0]"),
        ({"goals": (Goal("conforming_rate", maximum=0.5),)}, "shall be large", "spec.goals[0]"),
        ({"goals": (Goal("pass_hat_k", 0.5),)}, "of several answers", "spec.num_repeats"),
        ({"num_repeats": 3}, "greedy answers", "spec.num_repeats"),
        ({"budget": Budget(1, 0.0, 2, max_cost=5.0)}, "what an hour costs", "spec.budget.max_cost"),
        ({"guardrails": (replace(GUARDRAIL, metric="beauty"),)}, "beauty", "spec.guardrails[0].metric"),
    ],
)
def test_bad_goals_budgets_and_guardrails_are_told_with_what_to_do(
    changes: dict[str, Any], words: str, field: str
) -> None:
    with pytest.raises(InvalidArgument, match=words) as raised:
        check(replace(SPEC, **changes))
    assert raised.value.fields["field"] == field and raised.value.next_step


def test_goals_of_a_slice_are_of_those_that_the_suite_has_with_cases_enough() -> None:
    slices = {"": 130, "tool=apply_diff": 10, "tool=read_file": 10, "category=recovery": 8}
    good = (Goal("conforming_rate", 0.5, "tool=apply_diff", confidence=0.95), SURE)
    check_slices(good, slices)
    with pytest.raises(InvalidArgument, match="the suite lacks") as raised:
        check_slices((replace(good[0], slice="tool=fly"),), slices)
    assert raised.value.next_step == "It has tool=apply_diff, tool=read_file."
    with pytest.raises(InvalidArgument, match="even if all 10 cases went right the interval would end at 72"):
        check_slices((replace(good[0], minimum=0.8),), slices)
    check_slices((replace(good[0], minimum=1.0, confidence=0.0),), slices)
    for name, part in (("cause_rate", "cause=no_call"), ("layer_rate", "layer=parses")):
        rare = (
            Goal(name, 0.0, part, 0.02, confidence=0.95) if name == "cause_rate" else Goal(name, 0.99, part, 0.0, 0.95)
        )
        with pytest.raises(InvalidArgument, match="even if all 130 cases went right"):
            check_slices((rare,), slices)
