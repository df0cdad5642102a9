"""What differs between the wire's words and the domain's; all else has equal names."""

from __future__ import annotations

from dataclasses import replace

from drillyard.trainer.v1 import attempt_pb2, preflight_pb2, training_job_pb2

from services.chassis.wire import from_message, to_message
from services.trainer.domain.attempt import AttemptReport
from services.trainer.domain.preflight import TrainingPreflight
from services.trainer.usecases import TrainingJob


def training_job_to_proto(training_job: TrainingJob) -> training_job_pb2.TrainingJob:
    """Return the job as callers see it."""
    return to_message(training_job, training_job_pb2.TrainingJob)


def preflight_to_proto(preflight: TrainingPreflight) -> preflight_pb2.TrainingPreflight:
    """Return what is known of a training, with what is known of its rows beside the rest."""
    duration = preflight.duration
    return to_message(
        preflight.rows,
        preflight_pb2.TrainingPreflight,
        model_version_id=preflight.model_version_id,
        dataset_version_id=preflight.dataset_version_id,
        disk=to_message(preflight.disk, preflight_pb2.DiskEstimate),
        duration=to_message(duration, preflight_pb2.DurationEstimate) if duration else None,
    )


def report_from_proto(message: attempt_pb2.ReportAttemptRequest) -> AttemptReport:
    """Return the report; its points and checkpoints belong to the attempt that reports."""
    report = from_message(AttemptReport, message)
    return replace(
        report,
        curve_points=tuple(replace(point, attempt=report.attempt) for point in report.curve_points),
        checkpoints=tuple(replace(checkpoint, attempt=report.attempt) for checkpoint in report.checkpoints),
    )
