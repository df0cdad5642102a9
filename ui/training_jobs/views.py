"""Training jobs as a person sees them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from drillyard.trainer.v1.checkpoint_pb2 import Checkpoint, CurvePoint
from drillyard.trainer.v1.training_job_pb2 import Attempt, TrainingJob

from ui.shared.jobs import JobView, job_view
from ui.shared.settings import settings_of

CURVES = {
    "loss": "Loss",
    "adherence": "Adherence",
    "learning_rate": "Learning rate",
    "tokens_per_second": "Tokens per second",
}


@dataclass(frozen=True)
class CurveView:
    """One measured series; of a step that two attempts measured, the later one counts."""

    metric: str
    title: str
    points: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class TrainingJobView:
    """One training job with what it has measured."""

    training_job_id: str
    model_version_id: str
    dataset_version_id: str
    result_version_id: str
    settings: list[tuple[str, str]]
    job: JobView
    attempts: list[Attempt]
    curves: list[CurveView]
    checkpoints: list[Checkpoint]


def training_job_view(
    job: TrainingJob, points: Iterable[CurvePoint] = (), checkpoints: Iterable[Checkpoint] = ()
) -> TrainingJobView:
    """Return the view of a training job."""
    return TrainingJobView(
        training_job_id=job.training_job_id,
        model_version_id=job.spec.model_version_id,
        dataset_version_id=job.spec.dataset_version_id,
        result_version_id=job.model_version_id,
        settings=settings_of(job.spec, leaving_out=("model_version_id", "dataset_version_id")),
        job=job_view(job.job),
        attempts=list(job.attempts),
        curves=_curves(points),
        checkpoints=list(checkpoints),
    )


def _curves(points: Iterable[CurvePoint]) -> list[CurveView]:
    series: dict[str, dict[int, CurvePoint]] = {metric: {} for metric in CURVES}
    for point in points:
        steps = series.setdefault(point.metric, {})
        if point.step not in steps or point.attempt >= steps[point.step].attempt:
            steps[point.step] = point
    return [
        CurveView(metric, CURVES.get(metric, metric), tuple((step, steps[step].value) for step in sorted(steps)))
        for metric, steps in series.items()
        if steps
    ]
