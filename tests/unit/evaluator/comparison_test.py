"""Comparisons: what was gained and lost, and what cannot be compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from services.chassis.errors import FailedPrecondition, NotFound
from services.evaluator.comparison import compare
from services.evaluator.domain.comparison import CauseChange, Side
from services.evaluator.domain.evaluation import EvaluationRecord, Sampling, Subject, Tally
from services.evaluator.metrics import reduce_tallies
from tests.unit.evaluator.bench import CASES, Bench, subject


def side(record: EvaluationRecord, *, failing: tuple[int, ...] = ()) -> Side:
    tallies = [
        Tally(case.tool, "no_call" if place in failing else "", place not in failing, True, True, 1)
        for place, case in enumerate(CASES)
    ]
    outcomes = {case.case_id: place not in failing for place, case in enumerate(CASES)}
    return Side(record, reduce_tallies(tallies), outcomes)


def record(name: str = "eval-1", **changes: Any) -> EvaluationRecord:
    return EvaluationRecord(name, replace(subject(), **changes), "sha256:judge", num_verdicts=13)


def test_gained_and_lost_cases_are_named() -> None:
    found = compare(side(record("a"), failing=(0, 1, 2)), side(record("b"), failing=(2, 3)))
    assert found.gained_case_ids == tuple(sorted(CASES[place].case_id for place in (0, 1)))
    assert found.lost_case_ids == (CASES[3].case_id,)
    assert found.by_cause == (CauseChange("no_call", 3, 2),)
    assert [change.tool for change in found.by_tool] == sorted({case.tool for case in CASES})
    assert found.sentence == ("The conforming rate rose from 76.9% to 84.6%: 2 cases gained, 1 lost, of 13 answers.")


def test_equal_evaluations_gain_and_lose_nothing() -> None:
    found = compare(side(record(), failing=(1,)), side(record(), failing=(1,)))
    assert (found.gained_case_ids, found.lost_case_ids) == ((), ())
    assert found.sentence == "The conforming rate stayed at 92.3%: 0 cases gained, 0 lost, of 13 answers."


def test_causes_are_ordered_by_how_much_they_changed() -> None:
    before = Side(record(), reduce_tallies([tally("a", 2), tally("b", 9), tally("c", 1)]), {})
    after = Side(record(), reduce_tallies([tally("a", 2), tally("b", 3), tally("d", 3)]), {})
    assert [change.cause for change in compare(before, after).by_cause] == ["b", "d", "c", "a"]


def tally(cause: str, count: int) -> Tally:
    return Tally("read_file", cause, False, False, False, count)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("test suite version (roo_xml/core@1 and roo_xml/core@2)", {"test_suite_version_id": "roo_xml/core@2"}),
        ("bytes", {"test_suite_digest": "sha256:other"}),
        ("protocol profile (roo_xml and roo_native)", {"profile_id": "roo_native"}),
        ("wrote the prompts", {"profile_digest": "sha256:other"}),
        ("prompt size (compact and full)", {"prompt_size": "full"}),
        ("sampling (greedy up to 192 tokens and greedy up to 64 tokens)", {"sampling": Sampling(max_new_tokens=64)}),
        ("temperature 0.5, top_p 1", {"sampling": Sampling(temperature=0.5)}),
        ("number of repeats (1 and 3)", {"num_repeats": 3}),
    ],
)
def test_what_makes_two_evaluations_incomparable_is_named(name: str, change: dict[str, Any]) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        compare(side(record()), side(record(**change)))
    assert name in caught.value.problem


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("code that judged", lambda: replace(record(), judge_digest="sha256:other")),
        ("judged (13 and 7)", lambda: replace(record(), num_verdicts=7)),
    ],
)
def test_what_the_judging_differs_in_is_named(name: str, make: Callable[[], EvaluationRecord]) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        compare(side(record()), side(make()))
    assert name in caught.value.problem


def test_the_seed_matters_only_where_answers_are_sampled() -> None:
    compare(side(record(seed=1)), side(record(seed=2)))
    sampled = Sampling(temperature=1.0)
    with pytest.raises(FailedPrecondition, match="seed"):
        compare(side(record(seed=1, sampling=sampled)), side(record(seed=2, sampling=sampled)))


async def test_finished_evaluations_of_two_runs_are_compared() -> None:
    bench = Bench()
    before = await bench.evaluated(subject("run-1"), wrong=(1, 2, 3))
    after = await bench.evaluated(replace(subject("run-2"), model_version_id="tiny@2"), wrong=(3,))
    found = await bench.comparisons.compare(before, after)
    assert (found.before_evaluation_id, found.after_evaluation_id) == (before, after)
    assert set(found.gained_case_ids) == {CASES[0].case_id, CASES[1].case_id}


async def test_a_case_is_gained_only_when_all_its_repeats_conform() -> None:
    bench = Bench()
    run: Subject = subject("run-1", num_repeats=2)
    before = await bench.evaluated(run, wrong=(1, 2, 14))
    after = await bench.evaluated(replace(run, test_run_id="run-2"), wrong=(14,))
    assert (await bench.comparisons.compare(before, after)).gained_case_ids == (CASES[1].case_id,)


async def test_an_evaluation_that_has_not_succeeded_is_not_compared() -> None:
    bench = Bench()
    before = await bench.evaluated(subject("run-1"))
    bench.runs.add(subject("run-2"))
    going = await bench.evaluations.create("r", "run-2")
    with pytest.raises(FailedPrecondition, match="QUEUED"):
        await bench.comparisons.compare(before, going.job.job_id)


async def test_an_incomplete_evaluation_is_not_compared_with_a_complete_one() -> None:
    bench = Bench()
    before = await bench.evaluated(subject("run-1"))
    after = await bench.evaluated(subject("run-2"), count=4)
    with pytest.raises(FailedPrecondition, match="number of transcripts"):
        await bench.comparisons.compare(before, after)


async def test_unknown_evaluations_are_not_found() -> None:
    with pytest.raises(NotFound):
        await Bench().comparisons.compare("eval-1", "eval-2")
