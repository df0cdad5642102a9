"""Evaluations, to the wire."""

from __future__ import annotations

from drillyard.evaluator.v1 import evaluation_pb2

from services.chassis.jobs.convert import job_to_proto
from services.evaluator.domain.evaluation import Metrics, Rates
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
        metrics=_metrics(evaluation.metrics),
        job=job_to_proto(evaluation.job),
    )


def rates_to_proto(rates: Rates) -> evaluation_pb2.Rates:
    """Return the rates."""
    return evaluation_pb2.Rates(
        num_cases=rates.num_cases,
        conforming_rate=rates.conforming_rate,
        accepted_rate=rates.accepted_rate,
        well_formed_rate=rates.well_formed_rate,
    )


def _metrics(metrics: Metrics) -> evaluation_pb2.Metrics:
    return evaluation_pb2.Metrics(
        overall=rates_to_proto(metrics.overall),
        by_tool=[
            evaluation_pb2.ToolRates(tool=tool, rates=rates_to_proto(rates)) for tool, rates in metrics.by_tool.items()
        ],
        by_cause=[evaluation_pb2.CauseCount(cause=cause, num_cases=count) for cause, count in metrics.by_cause.items()],
    )
