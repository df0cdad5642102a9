"""Comparisons: what was gained and lost, what chance may have done, and what cannot be compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from services.chassis.errors import FailedPrecondition, NotFound
from services.evaluator.comparison.progress import compare
from services.evaluator.comparison.refusal import refuse_different
from services.evaluator.domain.comparison import CauseChange, Side
from services.evaluator.domain.evaluation import EvaluationRecord
from services.evaluator.domain.run import Endpoint, Subject
from services.evaluator.domain.tallies import CaseTally, Failing, Totals
from services.evaluator.metrics.reduction import reduce_tallies
from tests.unit.evaluator.bench import CASES, Bench, sampling, subject

SERVED = Endpoint("http://127.0.0.1:8080/v1", "served")


def side(record: EvaluationRecord, *, failing: tuple[int, ...] = (), causes: Mapping[str, int] | None = None) -> Side:
    tallies = [
        CaseTally(case.case_id, case.tool, case.category, 1, int(place not in failing), 1, 1)
        for place, case in enumerate(CASES)
    ]
    why = {
        CASES[place].case_id: Failing(
            *(CASES[place].case_id, CASES[place].tool, CASES[place].category, "call_present", "no_call", "no_call"),
            sentence="The answer is plain text.",
            is_sole=False,
        )
        for place in failing
    }
    counted = causes if causes is not None else {"no_call": len(failing)} if failing else {}
    metrics = reduce_tallies(tallies, Totals(count=len(CASES), causes=dict(counted)))
    return Side(record, metrics, tallies, why)


def record(name: str = "eval-1", **changes: Any) -> EvaluationRecord:
    return EvaluationRecord(name, replace(subject(), **changes), "sha256:judge", num_verdicts=13)


def test_gained_and_lost_cases_are_named_with_what_was_wrong() -> None:
    found = compare(side(record("a"), failing=(0, 1, 2)), side(record("b"), failing=(2, 3)))
    assert [gain.case_id for gain in found.gains] == sorted(CASES[place].case_id for place in (0, 1))
    assert {(gain.cause_before, gain.cause_after) for gain in found.gains} == {("no_call", "")}
    [loss] = found.losses
    assert (loss.case_id, loss.cause_before, loss.cause_after) == (CASES[3].case_id, "", "no_call")
    assert loss.sentence == "The answer is plain text."
    assert found.by_cause == (CauseChange("no_call", 3, 2),)
    assert [change.name for change in found.by_tool] == sorted({case.tool for case in CASES})
    assert found.sentence == ("The conforming rate rose from 76.9% to 84.6%: 2 cases gained, 1 lost, of 13 answers.")


def test_the_change_has_an_interval_and_an_exact_p_value() -> None:
    found = compare(side(record("a"), failing=(0, 1, 2, 3, 4, 5)), side(record("b"), failing=(6,))).conforming
    assert found.mean == pytest.approx(5 / 13)
    assert found.interval.low <= found.mean <= found.interval.high
    assert found.p_value == pytest.approx(2 * (1 + 7) / 2**7)  # 6 up, 1 down of 7 that changed


def test_a_change_that_may_be_chance_is_said_to_be_one() -> None:
    unsure = compare(side(record("a"), failing=(0, 1)), side(record("b"), failing=(1, 2)))
    assert not any("may be chance" in sentence for sentence in unsure.advice)  # nothing changed on the whole
    small = compare(side(record("a"), failing=(0, 1)), side(record("b")))
    assert small.advice[0].startswith("The change may be chance (exact sign test p = 0.50)")
    sure = compare(side(record("a"), failing=tuple(range(9))), side(record("b")))
    assert not any("may be chance" in sentence for sentence in sure.advice)


def test_losses_and_runs_that_differ_are_told_in_the_advice() -> None:
    after = side(record("b", throughput=True, endpoint=SERVED), failing=(3,))
    advice = compare(side(record("a")), after).advice
    assert any(sentence.startswith("1 case that conformed before fail now") for sentence in advice)
    assert any("batch plan" in sentence for sentence in advice)
    assert any("answered by an endpoint" in sentence for sentence in advice)


def test_equal_evaluations_gain_and_lose_nothing() -> None:
    found = compare(side(record(), failing=(1,)), side(record(), failing=(1,)))
    assert (found.gains, found.losses) == ((), ())
    assert found.sentence == "The conforming rate stayed at 92.3%: 0 cases gained, 0 lost, of 13 answers."
    assert (found.conforming.mean, found.conforming.p_value) == (0, 1)


def test_causes_are_ordered_by_how_much_they_changed() -> None:
    before, after = side(record(), causes={"a": 2, "b": 9, "c": 1}), side(record(), causes={"a": 2, "b": 3, "d": 3})
    assert [change.cause for change in compare(before, after).by_cause] == ["b", "d", "c", "a"]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("test suite version (roo_xml/core@1 and roo_xml/core@2)", {"test_suite_version_id": "roo_xml/core@2"}),
        ("bytes", {"test_suite_digest": "sha256:other"}),
        ("protocol profile (roo_xml and roo_native)", {"profile_id": "roo_native"}),
        ("wrote the prompts", {"profile_digest": "sha256:other"}),
        ("prompt size (compact and full)", {"prompt_size": "full"}),
        ("sampling (greedy up to 192 tokens and greedy up to 64 tokens)", {"sampling": sampling(max_new_tokens=64)}),
        ("temperature 0.5, top_p 1", {"sampling": sampling(temperature=0.5)}),
        ("min_p 0.1", {"sampling": sampling(temperature=0.5, min_p=0.1)}),
        ("number of repeats (1 and 3)", {"num_repeats": 3}),
        ("functions were offered (the profile's own and prompt)", {"endpoint": replace(SERVED, tool_mode="prompt")}),
        ("texts at which an answer ends", {"endpoint": replace(SERVED, stop=("</a>",))}),
        ("further request settings", {"endpoint": replace(SERVED, extra_body='{"a": 1}')}),
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
    sampled = sampling(temperature=1.0)
    with pytest.raises(FailedPrecondition, match="seed"):
        compare(side(record(seed=1, sampling=sampled)), side(record(seed=2, sampling=sampled)))


async def test_finished_evaluations_of_two_runs_are_compared() -> None:
    bench = Bench()
    before = await bench.evaluated(subject("run-1"), wrong=(1, 2, 3))
    after = await bench.evaluated(replace(subject("run-2"), model_version_id="tiny@2"), wrong=(3,))
    found = await bench.comparisons.compare(before, after)
    assert (found.before_evaluation_id, found.after_evaluation_id) == (before, after)
    assert {gain.case_id for gain in found.gains} == {CASES[0].case_id, CASES[1].case_id}
    assert {gain.sentence for gain in found.gains} == {"The answer is plain text without a call."}


async def test_a_case_is_gained_only_when_all_its_repeats_conform() -> None:
    bench = Bench()
    run: Subject = subject("run-1", num_repeats=2)
    before = await bench.evaluated(run, wrong=(1, 2, 14))
    after = await bench.evaluated(replace(run, test_run_id="run-2"), wrong=(14,))
    found = await bench.comparisons.compare(before, after)
    assert [gain.case_id for gain in found.gains] == [CASES[1].case_id]
    assert found.conforming.mean == pytest.approx((0.5 + 0.5) / 13)


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


async def test_runs_that_different_releases_judged_are_to_be_judged_again() -> None:
    bench = Bench()
    first, second = await bench.evaluated(subject("run-1")), await bench.evaluated(subject("run-2"))
    one, other = await bench.evaluations.record(first), await bench.evaluations.record(second)
    with pytest.raises(FailedPrecondition, match="Start a new evaluation of each run"):
        refuse_different(replace(one, judge_digest="sha256:older"), other)
