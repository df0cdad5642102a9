"""Loops on the wire."""

from __future__ import annotations

from typing import Any

from drillyard.feedback.v1 import loop_pb2
from drillyard.trainer.v1 import training_job_pb2
from google.protobuf.json_format import MessageToDict, ParseDict

from services.chassis.jobs.convert import job_to_proto
from services.feedback.domain.loop import Loop
from services.feedback.domain.rounds import Rates, Round
from services.feedback.domain.spec import Budget, Goal, LoopSpec

# A loop sets these itself, every round anew.
_OWN_TRAINING_FIELDS = ("model_version_id", "dataset_version_id", "seed")
_NO_RATES = Rates(0.0, 0.0, 0.0)


def spec_from_proto(spec: loop_pb2.LoopSpec) -> LoopSpec:
    """Return the spec as it was sent; what is unset is zero or empty."""
    return LoopSpec(
        model_version_id=spec.model_version_id,
        test_suite_version_id=spec.test_suite_version_id,
        prompt_size=spec.prompt_size,
        goals=tuple(Goal(goal.metric, goal.minimum) for goal in spec.goals),
        budget=Budget(spec.budget.max_rounds, spec.budget.max_minutes),
        seed=spec.seed,
        training=_training_settings(spec.training),
        num_examples=spec.num_examples,
        num_probe_cases=spec.num_probe_cases,
        max_new_tokens=spec.max_new_tokens,
    )


def loop_to_proto(loop: Loop) -> loop_pb2.Loop:
    """Return the loop; the ids in its spec are those of the versions that they named."""
    return loop_pb2.Loop(
        loop_id=loop.loop_id,
        spec=_spec_to_proto(loop),
        rounds=[_round_to_proto(made) for made in loop.rounds],
        best_model_version_id=loop.best_model_version_id,
        stop_reason=loop_pb2.StopReason.Value(f"STOP_REASON_{loop.stop.reason if loop.stop else 'UNSPECIFIED'}"),
        stop_sentence=loop.stop.sentence if loop.stop else "",
        next_step=loop.stop.next_step if loop.stop else "",
        job=job_to_proto(loop.job),
    )


def _spec_to_proto(loop: Loop) -> loop_pb2.LoopSpec:
    spec = loop.asked
    return loop_pb2.LoopSpec(
        model_version_id=loop.inputs.model_version_id,
        test_suite_version_id=loop.inputs.suite.test_suite_version_id,
        prompt_size=spec.prompt_size,
        goals=[loop_pb2.Goal(metric=goal.metric, minimum=goal.minimum) for goal in spec.goals],
        budget=loop_pb2.Budget(max_rounds=spec.budget.max_rounds, max_minutes=spec.budget.max_minutes),
        seed=spec.seed,
        training=ParseDict(dict(spec.training), training_job_pb2.TrainingJobSpec()),
        num_examples=spec.num_examples,
        num_probe_cases=spec.num_probe_cases,
        max_new_tokens=spec.max_new_tokens,
    )


def _round_to_proto(made: Round) -> loop_pb2.Round:
    rates = made.rates or _NO_RATES
    return loop_pb2.Round(
        round=made.number,
        model_version_id=made.model_version_id,
        test_run_id=made.test_run_id,
        evaluation_id=made.evaluation_id,
        conforming_rate=rates.conforming_rate,
        accepted_rate=rates.accepted_rate,
        well_formed_rate=rates.well_formed_rate,
        evaluated=made.rates is not None,
        probe_test_run_id=made.probe_test_run_id,
        probe_evaluation_id=made.probe_evaluation_id,
        dataset_version_id=made.dataset_version_id,
        training_job_id=made.training_job_id,
        probe_test_suite_version_id=made.probe_test_suite_version_id,
    )


def _training_settings(training: training_job_pb2.TrainingJobSpec) -> dict[str, Any]:
    settings = MessageToDict(training, preserving_proto_field_name=True)
    return {name: value for name, value in settings.items() if name not in _OWN_TRAINING_FIELDS}
