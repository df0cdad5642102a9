"""Metrics: rates, repeats, layers, recovery and cost, from tallies."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from services.evaluator.convert import metrics_to_proto
from services.evaluator.domain.metrics import Quantiles
from services.evaluator.domain.tallies import CaseTally, Totals
from services.evaluator.domain.verdict import VerdictFilter
from services.evaluator.metrics.intervals import share_interval
from services.evaluator.metrics.reduction import gather_metrics, pass_at_k, pass_hat_k, reduce_tallies
from tests.unit.evaluator.bench import CASES, Bench, subject


def case(name: str, count: int, conforming: int, *, tool: str = "read_file", category: str = "read") -> CaseTally:
    return CaseTally(name, tool, category, count, conforming, count, count)


@pytest.mark.parametrize(("count", "conforming", "k"), [(5, 2, 1), (5, 2, 3), (6, 0, 2), (6, 6, 6), (7, 4, 5)])
def test_pass_at_k_and_pass_hat_k_are_shares_of_all_draws(count: int, conforming: int, k: int) -> None:
    answers = [place < conforming for place in range(count)]
    draws = list(itertools.combinations(answers, k))
    assert pass_at_k(count, conforming, k) == pytest.approx(sum(map(any, draws)) / len(draws))
    assert pass_hat_k(count, conforming, k) == pytest.approx(sum(map(all, draws)) / len(draws))


def test_repeats_are_reduced_case_by_case() -> None:
    found = reduce_tallies([case("a", 3, 3), case("b", 3, 1), case("c", 3, 0), case("d", 3, 2)], Totals())
    assert [rate.k for rate in found.by_repeats] == [1, 2, 3]
    first, _, last = found.by_repeats
    assert first.pass_at_k == first.pass_hat_k == found.overall.conforming_rate == pytest.approx(0.5)
    assert (last.pass_at_k, last.pass_hat_k) == (0.75, 0.25)
    assert last.pass_hat_k_interval.low <= 0.25 <= last.pass_hat_k_interval.high
    assert found.flaky_rate == 0.5


def test_cases_with_too_few_repeats_are_left_out_of_what_asks_for_more() -> None:
    found = reduce_tallies([case("a", 2, 2), case("b", 1, 0)], Totals())
    assert [(rate.k, rate.pass_hat_k) for rate in found.by_repeats] == [(1, 0.5), (2, 1.0)]


def test_kinds_of_tasks_are_counted_by_family() -> None:
    cases = [case("a", 1, 1, category="recovery.no_tool"), case("b", 1, 0, category="recovery.args"), case("c", 1, 1)]
    found = reduce_tallies(cases, Totals()).by_category
    assert {name: rates.num_cases for name, rates in found.items()} == {"read": 1, "recovery": 2}
    assert found["recovery"].conforming_interval == share_interval(1, 2)


def test_recovery_counts_only_answers_that_had_an_error() -> None:
    tried = replace(case("a", 4, 3), num_recovering=2, num_recovered=1)
    found = reduce_tallies([tried, case("b", 4, 4)], Totals()).recovery
    assert (found.num_cases, found.rate) == (2, 0.5)
    assert reduce_tallies([case("b", 4, 4)], Totals()).recovery.num_cases == 0


async def test_an_evaluation_reports_what_its_answers_took() -> None:
    bench = Bench()
    found = (await bench.evaluations.resource.get(await bench.evaluated(subject(), wrong=(2, 5)))).metrics
    usage = found.usage
    assert (usage.num_prompt_tokens, usage.num_cached_tokens, usage.num_generated_tokens) == (13 * 9, 13 * 3, 13 * 5)
    assert usage.latency == Quantiles(0.25 * 7, 0.25 * 13, 0.25 * 13)
    assert usage.tokens_per_second == pytest.approx(10)
    assert found.mean_turns == 1
    assert found.by_layer["call_present"].num_passed == 11
    assert found.by_layer["call_present"].num_applicable == 13
    assert found.by_layer["right_tool"].rate == 1.0
    assert found.mean_scores["format"] == pytest.approx(11 / 13)
    assert found.mean_scores["tool"] == pytest.approx(11 / 13)


async def test_all_metrics_travel_to_the_wire() -> None:
    bench = Bench()
    metrics = (
        await bench.evaluations.resource.get(await bench.evaluated(subject(num_repeats=2), wrong=(2, 5)))
    ).metrics
    message = metrics_to_proto(metrics)
    assert {item.category for item in message.by_category} == {case.category.partition(".")[0] for case in CASES}
    assert [item.layer for item in message.by_layer][:2] == ["call_present", "parses"]
    assert [item.k for item in message.by_repeats] == [1, 2]
    assert message.flaky_rate == pytest.approx(2 / 13)
    assert message.usage.latency.p95 == metrics.usage.latency.p95 > 0
    assert dict(message.mean_scores) == dict(metrics.mean_scores)
    assert list(message.advice) == list(metrics.advice) != []
    assert 0 < message.overall.conforming_interval.low < message.overall.conforming_rate
    assert message.num_recovery_cases == metrics.recovery.num_cases


async def test_final_metrics_are_those_of_the_verdicts() -> None:
    bench = Bench()
    evaluation_id = await bench.evaluated(subject(), wrong=(2, 5))
    stored = await bench.store.get_evaluation(evaluation_id)
    assert stored is not None and stored.metrics is not None
    assert stored.metrics == (await bench.evaluations.resource.get(evaluation_id)).metrics


async def test_figures_of_an_evaluation_that_goes_on_are_of_one_moment() -> None:
    bench = Bench()
    evaluation_id = await bench.evaluated(subject(), wrong=range(1, 14))
    whole = await bench.evaluations.record(evaluation_id)
    verdicts = await bench.store.list_verdicts(evaluation_id, VerdictFilter(), after_sequence=0, limit=3)
    totals = Totals()
    totals.add(verdicts)
    then = replace(whole, metrics=None, num_verdicts=3, totals=totals)
    found = await gather_metrics(bench.store, then)
    assert found.overall.num_cases == sum(found.by_cause.values()) == 3
    assert set(found.by_tool) == {one.tool for one in verdicts}
    assert len([one for one in found.advice if one.startswith("Fails")]) == len(found.by_tool)
