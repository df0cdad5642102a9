from __future__ import annotations

from dataclasses import replace

import pytest

from services.chassis.wire import from_document
from services.feedback.domain.goals import Goal
from services.feedback.domain.rounds import Rates, Round, StopReason
from services.feedback.domain.rules import best_round, decide, round_seed
from services.feedback.domain.spec import Budget, LoopSpec

CONFORMING = Goal("conforming_rate", 0.8)
SPEC = from_document(
    LoopSpec,
    {
        "model_version_id": "tiny@1",
        "test_suite_version_id": "roo_xml/core@1",
        "goals": [{"metric": "conforming_rate", "minimum": 0.8}],
        "budget": {"max_rounds": 2, "max_minutes": 10},
    },
)


def played(*conforming: float, accepted: float = 0.5) -> list[Round]:
    return [
        Round(number, model_version_id=f"tiny@{number + 1}", rates=Rates(rate, accepted, 1.0))
        for number, rate in enumerate(conforming)
    ]


@pytest.mark.parametrize(
    ("rates", "elapsed_seconds", "reason"),
    [
        ([0.8], 0, StopReason.GOALS_MET),
        ([0.1, 0.9], 10_000, StopReason.GOALS_MET),
        ([0.1], 0, None),
        ([0.1, 0.2], 599, None),
        ([0.1, 0.2], 600, StopReason.OUT_OF_TIME),
        ([0.1], 601, StopReason.OUT_OF_TIME),
        ([0.2, 0.2], 0, StopReason.NO_PROGRESS),
        ([0.2, 0.1], 0, StopReason.NO_PROGRESS),
        ([0.1, 0.2, 0.3], 0, StopReason.OUT_OF_ROUNDS),
        ([0.1, 0.2, 0.15], 0, StopReason.NO_PROGRESS),
    ],
)
def test_a_loop_ends_by_its_goals_its_progress_and_its_budget(
    rates: list[float], elapsed_seconds: float, reason: StopReason | None
) -> None:
    stop = decide(SPEC, played(*rates), elapsed_seconds)
    assert (stop.reason if stop else None) == reason
    if stop:
        assert bool(stop.next_step) == (reason is not StopReason.GOALS_MET)


def test_zero_minutes_mean_no_bound_in_time() -> None:
    assert decide(replace(SPEC, budget=Budget(2, 0)), played(0.1), 1e9) is None


def test_the_sentence_says_what_was_reached_and_what_was_asked() -> None:
    stop = decide(SPEC, played(0.3, 0.2), 0)
    assert stop is not None
    assert stop.sentence == (
        "Round 1 made nothing better: the conforming rate is 20.0% (goal 80.0%); "
        "tiny@1 of round 0 stays the best version."
    )


def test_a_loop_that_did_not_reach_its_goals_says_what_to_try_from_which_version() -> None:
    for rates, seconds, words in (
        ((0.3, 0.2), 0, "tiny@1 with more examples per round"),
        ((0.1, 0.2, 0.3), 0, "tiny@3 with more rounds"),
        ((0.1, 0.2), 600, "tiny@2 with more minutes"),
    ):
        stop = decide(SPEC, played(*rates), seconds)
        assert stop is not None and stop.next_step.startswith(f"Start another loop from {words}")


def test_all_goals_must_be_met() -> None:
    spec = replace(SPEC, goals=(CONFORMING, Goal("accepted_rate", 0.9)))
    assert decide(spec, played(0.9, accepted=0.5), 0) is None
    stop = decide(spec, played(0.9, accepted=0.9), 0)
    assert stop is not None and stop.reason is StopReason.GOALS_MET


def test_a_round_that_has_not_been_evaluated_cannot_be_decided_on() -> None:
    with pytest.raises(ValueError, match="evaluated"):
        decide(SPEC, [Round(0, model_version_id="tiny@1")], 0)


def test_the_best_version_is_the_earliest_of_equals_by_the_goals_in_their_order() -> None:
    rounds = [*played(0.4, 0.6, 0.6), Round(3, model_version_id="tiny@9")]
    best = best_round((CONFORMING,), rounds)
    assert best is rounds[1]
    tied = [replace(rounds[1], rates=Rates(0.6, 0.1, 1.0)), replace(rounds[2], rates=Rates(0.6, 0.7, 1.0))]
    assert best_round((CONFORMING, Goal("accepted_rate", 1.0)), tied) is tied[1]
    assert best_round((CONFORMING,), []) is None


def test_seeds_differ_by_round_and_by_loop_seed_and_fit_31_bits() -> None:
    seeds = {round_seed(seed, number) for seed in (-1, 0, 1, 2**62) for number in range(1, 5)}
    assert len(seeds) == 16
    assert all(0 <= seed < 2**31 for seed in seeds)
