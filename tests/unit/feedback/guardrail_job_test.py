"""Guardrails, slices and costs of a loop whose neighbours answer on loopback."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from drillyard.evaluator.v1 import metrics_pb2 as pb
from drillyard.feedback.v1 import loop_pb2

from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound
from services.chassis.jobs import JobState
from services.feedback.clients.evaluator import _readings
from services.feedback.convert.jobs import loop_to_proto
from services.feedback.domain.goals import Goal, Reading
from services.feedback.domain.guardrails import Guardrail
from services.feedback.domain.rounds import StopReason
from services.feedback.domain.spec import Budget
from tests.unit.feedback.bench import SPEC, Bench, set_up

GUARDRAIL = Guardrail("text/smoke", "conforming_rate", 0.01, 0.0, "")
GUARDED = replace(SPEC, guardrails=(GUARDRAIL,), budget=Budget(2, 0.0, 2))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with set_up(tmp_path) as made:
        yield made


async def test_a_version_that_lost_what_it_must_not_is_rolled_back_and_the_next_goes_on_from_the_best(
    bench: Bench,
) -> None:
    rates = bench.world.evaluator.judgement.rates
    rates |= {"tiny@1": 0.3, "tiny@2": 0.9, "tiny@3": 0.9}
    rates |= {f"tiny@{number} on text/smoke@1": rate for number, rate in ((1, 0.5), (2, 0.4), (3, 0.5))}
    loop = await bench.play(GUARDED)
    assert loop.stop is not None and loop.stop.reason is StopReason.GOALS_MET
    assert [item.is_rolled_back for item in loop.rounds] == [False, True, False]
    assert loop.rounds[1].base_model_version_id == "tiny@1" and loop.best_model_version_id == "tiny@3"
    training = await bench.world.trainer.jobs.store.get(loop.rounds[1].training_job_id)
    probe = await bench.world.test_runner.spec_of(loop.rounds[1].probe_test_run_id)
    assert training.spec["model_version_id"] == probe.model_version_id == "tiny@1"
    assert set((await bench.world.made()).values()) == {1}
    message = loop_to_proto(loop)
    assert message.spec.guardrails[0].test_suite_version_id == "text/smoke@1"
    (reading,) = message.rounds[1].guardrail_readings
    assert (round(reading.change, 3), reading.is_broken, message.rounds[1].is_rolled_back) == (-0.1, True, True)
    assert "-10.0 points" in reading.sentence and "round 1 is rolled back" in message.status_sentence
    assert message.rounds[2].goal_readings[0].is_met
    assert (message.spent.num_rounds, message.spent.num_trained_tokens) == (2, 2000)
    assert message.spent.num_generated_tokens == 8 * 100


async def test_a_loop_whose_last_version_broke_a_guardrail_says_so_and_keeps_the_first(bench: Bench) -> None:
    rates = bench.world.evaluator.judgement.rates
    rates |= {"tiny@1": 0.3, "tiny@2": 0.9, "tiny@1 on text/smoke@1": 0.5, "tiny@2 on text/smoke@1": 0.48}
    loop = await bench.play(replace(GUARDED, budget=Budget(1, 0.0, 2)))
    assert loop.stop is not None and loop.stop.reason is StopReason.GUARDRAIL_BROKEN
    assert loop.best_model_version_id == "tiny@1"
    assert loop_to_proto(loop).stop_reason == loop_pb2.STOP_REASON_GUARDRAIL_BROKEN
    assert loop.job.progress["done"] == loop.job.progress["total"] == 11


async def test_a_guardrail_that_a_loop_waits_for_is_cancelled_with_it(bench: Bench) -> None:
    gate = bench.world.gates.close("0/guardrail-0:work")
    async with bench.at_work():
        loop = await bench.usecases.create_loop("", GUARDED)
        await gate.arrival()
        await bench.store.cancel(loop.loop_id)
        loop = await bench.until_ended(loop.loop_id)
    assert loop.job.state is JobState.CANCELLED
    assert [job.request_id for job in await bench.world.jobs() if job.state is JobState.RUNNING] == []


async def test_a_probe_that_fails_nowhere_ends_the_loop_before_anything_is_trained(bench: Bench) -> None:
    bench.world.evaluator.judgement.other_cause = ""
    loop = await bench.play()
    assert loop.stop is not None and loop.stop.reason is StopReason.NOTHING_TO_LEARN
    assert await bench.world.trainer.jobs.all() == [] and "0/dataset" not in await bench.world.made()


async def test_what_cannot_be_measured_is_refused_before_a_loop_is_stored(bench: Bench) -> None:
    guardrail = GUARDED.guardrails[0]
    own, sized, unknown = (
        replace(guardrail, test_suite_version_id="roo_xml/core@1"),
        replace(guardrail, prompt_size="huge"),
        replace(guardrail, test_suite_version_id="text/none"),
    )
    for spec, error, words in (
        (replace(GUARDED, guardrails=(own,)), InvalidArgument, "on the suite that the goals are on"),
        (replace(GUARDED, guardrails=(sized,)), InvalidArgument, "guardrails[0].prompt_size is 'huge'"),
        (replace(GUARDED, guardrails=(unknown,)), NotFound, "text/none"),
        (replace(SPEC, goals=(Goal("conforming_rate", 0.5, "tool=fly"),)), InvalidArgument, "tool=apply_diff"),
    ):
        with pytest.raises(error) as raised:
            await bench.usecases.create_loop("", spec)
        assert words in f"{raised.value} {raised.value.next_step}"
    assert await bench.store.list() == ([], "")


async def test_a_guardrail_of_a_profile_that_is_unknown_here_is_refused(bench: Bench) -> None:
    registry = bench.world.registry
    registry.suites.register("import", "strange/suite", "")
    registry.cases["strange/suite@1"] = ()
    with pytest.raises(FailedPrecondition, match="cannot drill"):
        await bench.usecases.create_loop(
            "", replace(SPEC, guardrails=(replace(GUARDRAIL, test_suite_version_id="strange/suite"),))
        )


async def test_a_suite_that_is_asked_several_times_is_sampled_and_the_rest_is_greedy(bench: Bench) -> None:
    bench.world.evaluator.judgement.rates |= {"tiny@1": 0.3, "tiny@2": 0.9}
    spec = replace(GUARDED, num_repeats=3, temperature=0.7, budget=Budget(1, 0.0, 2))
    loop = await bench.play(spec)
    first = loop.rounds[0]
    run_ids = (first.test_run_id, first.guardrails[0].test_run_id, first.probe_test_run_id)
    runs = [await bench.world.test_runner.spec_of(run_id) for run_id in run_ids]
    assert Counter((run.num_repeats, run.sampling.temperature) for run in runs) == {(3, 0.7): 1, (1, 0.0): 2}


def test_metrics_are_read_by_slice_and_repeats_of_a_case_count_once() -> None:
    rates = pb.Rates(num_cases=30, conforming_rate=0.5, accepted_rate=0.6, well_formed_rate=0.7)
    metrics = pb.Metrics(
        overall=rates,
        by_tool=[pb.ToolRates(tool="apply_diff", rates=pb.Rates(num_cases=6, conforming_rate=0.5))],
        by_category=[pb.CategoryRates(category="recovery", rates=rates)],
        by_layer=[pb.LayerRate(layer="parses", num_applicable=24, rate=0.75)],
        by_cause=[pb.CauseCount(cause="no_call", num_cases=3)],
        by_repeats=[pb.RepeatRate(k=k, pass_hat_k=0.5 / k) for k in (1, 2, 3)],
        usage=pb.Usage(latency=pb.Quantiles(p50=1.0, p95=2.0)),
    )
    readings = _readings(metrics)
    assert readings["accepted_rate", ""] == Reading(0.6, 10)
    assert readings["conforming_rate", "tool=apply_diff"] == Reading(0.5, 2)
    assert readings["well_formed_rate", "category=recovery"] == Reading(0.7, 10)
    assert readings["layer_rate", "layer=parses"] == Reading(0.75, 8)
    assert readings["cause_rate", "cause=no_call"] == Reading(0.1, 10)
    assert readings["cause_rate", "cause=wrong_tool"] == Reading(0.0, 10)
    assert readings["pass_hat_k", ""] == Reading(0.5 / 3, 10)
    assert readings["seconds_per_answer", ""] == Reading(2.0, 10)
