"""Evaluations, to the wire and from it."""

from drillyard.evaluator.v1 import evaluation_pb2

from services.chassis.jobs.convert import job_to_proto
from services.chassis.wire import from_message, to_message
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
        model_grader=to_message(record.grader, evaluation_pb2.ModelGrader) if record.grader else None,
        is_incomplete=evaluation.is_incomplete,
    )


def grader_from_proto(request: evaluation_pb2.CreateEvaluationRequest) -> ModelGrader | None:
    """Return the grader that a request asks for, if it asks for one."""
    return from_message(ModelGrader, request.model_grader) if request.HasField("model_grader") else None
