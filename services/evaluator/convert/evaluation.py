"""Evaluations, to the wire and from it."""

from __future__ import annotations

from dataclasses import asdict

from drillyard.evaluator.v1 import evaluation_pb2

from services.chassis.jobs.convert import job_to_proto
from services.evaluator.convert.metrics import metrics_to_proto
from services.evaluator.domain.grader import ModelGrader
from services.evaluator.usecases.evaluations import Evaluation


def evaluation_to_proto(evaluation: Evaluation) -> evaluation_pb2.Evaluation:
    """Return the evaluation with its state and the metrics so far."""
    record = evaluation.record
    return evaluation_pb2.Evaluation(
        evaluation_id=record.evaluation_id,
        test_run_id=record.subject.test_run_id,
        test_suite_version_id=record.subject.test_suite_version_id,
        model_version_id=record.subject.model_version_id,
        profile_id=record.subject.profile_id,
        profile_digest=record.judge_digest,
        metrics=metrics_to_proto(evaluation.metrics),
        job=job_to_proto(evaluation.job),
        model_grader=evaluation_pb2.ModelGrader(**asdict(record.grader)) if record.grader else None,
    )


def grader_from_proto(request: evaluation_pb2.CreateEvaluationRequest) -> ModelGrader | None:
    """Return the grader that a request asks for, if it asks for one."""
    if not request.HasField("model_grader"):
        return None
    asked = request.model_grader
    return ModelGrader(
        base_url=asked.base_url,
        model=asked.model,
        api_key_secret=asked.api_key_secret,
        rubric=asked.rubric,
        sample_rate=asked.sample_rate,
        against_reference=asked.against_reference,
    )
