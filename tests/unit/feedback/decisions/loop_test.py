"""Decisions of a loop that runs: each is stored and told before it is carried out, and then carried out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from drillyard.test_runner.v1 import diagnosis_pb2

from services.chassis.errors import InvalidArgument
from services.feedback.decisions.decision import DECISION_EVENT, TrainingMethod
from services.feedback.domain.goals import Goal
from services.feedback.domain.rounds import StopReason
from services.feedback.domain.spec import Budget, check
from services.protocols.suites.dataset_row import DatasetRow
from tests.unit.feedback.bench import SPEC, Bench, set_up

ROUNDS = replace(SPEC, budget=Budget(2, 0, plateau_rounds=2))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with set_up(tmp_path) as made:
        yield made


async def test_a_template_fault_stops_a_loop_before_anything_is_asked(bench: Bench) -> None:
    bench.evidence.findings = [
        diagnosis_pb2.Finding(code="clock", severity=diagnosis_pb2.SEVERITY_WARNING, problem="Late.", fix="Wait."),
        diagnosis_pb2.Finding(
            code="no_tool_role", severity=diagnosis_pb2.SEVERITY_ERROR, problem="Results are lost.", fix="Add a branch."
        ),
    ]
    loop = await bench.play()
    assert loop.stop is not None and loop.stop.reason is StopReason.TEMPLATE_FAULT
    assert "no_tool_role" in loop.stop.sentence and loop.stop.next_step.startswith("Add a branch.")
    assert await bench.world.made() == Counter()
    (decision,) = loop.rounds[0].decisions
    assert decision.figures == {"fault.no_tool_role": 1.0}


async def test_empty_answers_stop_a_loop_after_its_test(bench: Bench) -> None:
    bench.evidence.fault = "empty_answer"
    # Which is met by answers that say nothing, and yet no goal is.
    fast = Goal("seconds_per_answer", maximum=1e9, confidence=0.0)
    loop = await bench.play(replace(SPEC, goals=(fast,)))
    assert loop.stop is not None and loop.stop.reason is StopReason.TEMPLATE_FAULT
    assert await bench.world.made() == Counter(["0/test", "0/evaluate"])


async def test_answers_that_say_nothing_at_length_are_trained_also_where_a_run_was_finished(bench: Bench) -> None:
    bench.evidence.fault = "empty_answer"
    bench.world.test_runner.num_torn, bench.world.test_runner.num_tokens = 1, 10_000
    loop = await bench.play(SPEC)
    assert loop.rounds[0].num_finishes == {"test": 1} and loop.rounds[0].training_job_id


async def test_near_misses_with_mixed_answers_are_trained_as_pairs_of_the_models_own_failures(bench: Bench) -> None:
    judgement = bench.world.evaluator.judgement
    judgement.other_cause, bench.evidence.is_mixed = "wrong_arguments", True
    judgement.rates |= {"tiny@2": 0.9}
    loop = await bench.play(ROUNDS)
    decision = loop.rounds[0].decisions[-1]
    assert (decision.rule, decision.method) == ("mixed_rollouts", TrainingMethod.DPO)
    made = await bench.world.made()
    assert made["0/sample"] == made["0/sample_evaluate"] == made["0/train"] == 1
    run = await bench.world.test_runner.spec_of(loop.rounds[0].sample_test_run_id)
    assert (run.num_repeats, run.sampling.temperature) == (4, 1.0)
    job = await bench.world.trainer.jobs.store.get(loop.rounds[0].training_job_id)
    assert (job.spec["method"], job.spec["learning_rate"]) == ("TRAINING_METHOD_DPO", 5e-5)
    lines = bench.world.registry.dataset_lines[loop.rounds[0].dataset_version_id]
    rows = [DatasetRow.from_json(json.loads(line)) for line in lines]
    train = [row for row in rows if row.split == "train"]
    assert len(train) == decision.figures["num_pairs"] and all(row.rejected for row in train)
    assert len({row.example_id for row in rows}) == len(rows) and any(row.split == "validation" for row in rows)


async def test_tasks_for_grpo_are_like_those_whose_answers_differ(bench: Bench) -> None:
    judgement = bench.world.evaluator.judgement
    judgement.other_cause, bench.evidence.is_mixed = "wrong_arguments", True
    judgement.rates |= {"tiny@2": 0.9}
    loop = await bench.play(replace(ROUNDS, mixed_method=TrainingMethod.GRPO, num_examples=104))
    job = await bench.world.trainer.jobs.store.get(loop.rounds[0].training_job_id)
    assert job.spec["method"] == "TRAINING_METHOD_GRPO"
    cost = loop.rounds[0].costs["train"]
    assert (cost.num_generated_tokens, cost.num_trained_tokens) == (1000, 1000)
    lines = bench.world.registry.dataset_lines[loop.rounds[0].dataset_version_id]
    train = [row for row in map(json.loads, lines) if row["split"] == "train"]
    assert len(train) >= 26 and all(row["case"] for row in train)


async def test_after_a_worse_round_the_best_version_is_probed_and_trained_again(bench: Bench) -> None:
    bench.world.evaluator.judgement.rates |= {"tiny@1": 0.4, "tiny@2": 0.3, "tiny@3": 0.9}
    loop = await bench.play(ROUNDS)
    probed = await bench.world.test_runner.spec_of(loop.rounds[1].probe_test_run_id)
    assert probed.model_version_id == "tiny@1" and loop.rounds[1].decisions[-1].rule == "regression"
    job = await bench.world.trainer.jobs.store.get(loop.rounds[1].training_job_id)
    assert (job.spec["model_version_id"], job.spec["learning_rate"]) == ("tiny@1", 0.0005)
    first, second = [bench.world.registry.dataset_lines[made.dataset_version_id] for made in loop.rounds[:2]]
    assert first != second and len(first) == len(second)


async def test_decisions_are_events_that_come_before_what_they_begin(bench: Bench) -> None:
    bench.world.evaluator.judgement.rates |= {"tiny@2": 0.9}
    loop = await bench.play()
    events = await bench.store.jobs.events(loop.loop_id, 0, 1000)
    (decided,) = [event for event in events if event.type == DECISION_EVENT]
    begun = next(event for event in events if event.type == "step" and event.payload["step"] == "dataset")
    assert decided.sequence < begun.sequence
    assert decided.payload["rule"] == "format_failures" and decided.payload["number"] == 1
    assert decided.payload["figures"]["num_form_failures"] == decided.payload["figures"]["num_failed"] > 0


async def test_what_nobody_could_judge_is_not_trained(bench: Bench) -> None:
    judgement = bench.world.evaluator.judgement
    judgement.other_cause = "backend_fault"
    judgement.causes = {"read_file": "no_call"}
    judgement.rates |= {"tiny@2": 0.9}
    loop = await bench.play()
    lines = bench.world.registry.dataset_lines[loop.rounds[0].dataset_version_id]
    assert {json.loads(line)["cause"] for line in lines} <= {"no_call", "none"}
    assert loop.rounds[0].decisions[-1].figures["num_unknown"] > 0


async def test_the_version_that_met_the_goals_becomes_the_candidate_once(bench: Bench) -> None:
    bench.world.evaluator.judgement.rates |= {"tiny@2": 0.9}
    loop = await bench.play(replace(SPEC, candidate_alias="candidate"))
    assert loop.stop is not None and loop.stop.sentence.endswith("tiny:candidate is tiny@2.")
    assert loop.stop.next_step == "Let it answer: `drillyard promote tiny@2 --alias tiny:champion`."
    alias = bench.evidence.aliases["tiny:candidate"]
    assert (alias.model_version_id, alias.revision) == ("tiny@2", 1)
    assert list(alias.evaluation_ids) == [loop.rounds[1].evaluation_id]
    await bench.services.registry.set_alias("tiny:candidate", "tiny@2", "again")
    assert bench.evidence.aliases["tiny:candidate"].revision == 1


async def test_a_loop_that_missed_its_goals_names_no_candidate(bench: Bench) -> None:
    loop = await bench.play(replace(SPEC, candidate_alias="candidate", budget=Budget(1, 0)))
    assert loop.stop is not None and loop.stop.reason is not StopReason.GOALS_MET and not bench.evidence.aliases


def test_an_alias_is_named_without_its_model() -> None:
    for name in ("tiny:candidate", "Candidate", "a b"):
        with pytest.raises(InvalidArgument, match="candidate_alias"):
            check(replace(SPEC, candidate_alias=name))
