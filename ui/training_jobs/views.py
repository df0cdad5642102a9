"""Training jobs as a person sees them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from drillyard.trainer.v1.checkpoint_pb2 import Checkpoint, CurvePoint
from drillyard.trainer.v1.training_job_pb2 import Attempt, AttemptOutcome, TrainingJob

from ui.shared.jobs import JobView, job_view
from ui.shared.words import size_text, time_text

CURVES = (
    ("loss", "Loss"),
    ("adherence", "Adherence"),
    ("learning_rate", "Learning rate"),
    ("tokens_per_second", "Tokens per second"),
)


@dataclass(frozen=True)
class CurveView:
    """One measured series; of a step that two attempts measured, the later one counts."""

    metric: str
    title: str
    points: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class AttemptView:
    """One process group that worked on a job."""

    attempt: int
    outcome: str
    start_step: int
    reason: str


@dataclass(frozen=True)
class CheckpointView:
    """One checkpoint."""

    step: int
    attempt: int
    size: str
    digest: str
    created: str


@dataclass(frozen=True)
class TrainingJobView:
    """One training job with what it has measured."""

    training_job_id: str
    model_version_id: str
    dataset_version_id: str
    result_version_id: str
    settings: tuple[tuple[str, str], ...]
    job: JobView
    attempts: tuple[AttemptView, ...]
    curves: tuple[CurveView, ...]
    checkpoints: tuple[CheckpointView, ...]


def training_job_view(
    one: TrainingJob, points: Iterable[CurvePoint] = (), checkpoints: Iterable[Checkpoint] = ()
) -> TrainingJobView:
    """Return the view of a training job."""
    return TrainingJobView(
        training_job_id=one.training_job_id,
        model_version_id=one.spec.model_version_id,
        dataset_version_id=one.spec.dataset_version_id,
        result_version_id=one.model_version_id,
        settings=_settings(one),
        job=job_view(one.job),
        attempts=tuple(_attempt(attempt) for attempt in one.attempts),
        curves=_curves(points),
        checkpoints=tuple(_checkpoint(one) for one in checkpoints),
    )


def _settings(one: TrainingJob) -> tuple[tuple[str, str], ...]:
    spec = one.spec
    return (
        ("LoRA rank", str(spec.lora.r)),
        ("LoRA alpha", str(spec.lora.lora_alpha)),
        ("epochs", str(spec.num_epochs)),
        ("batch size", str(spec.batch_size)),
        ("learning rate", f"{spec.learning_rate:g}"),
        ("workers", str(spec.num_workers)),
        ("seed", str(spec.seed)),
    )


def _curves(points: Iterable[CurvePoint]) -> tuple[CurveView, ...]:
    series: dict[str, dict[int, tuple[int, float]]] = {metric: {} for metric, _ in CURVES}
    for point in points:
        found = series.setdefault(point.metric, {})
        if point.attempt >= found.get(point.step, (0, 0.0))[0]:
            found[point.step] = (point.attempt, point.value)
    titles = dict(CURVES)
    return tuple(
        CurveView(metric, titles.get(metric, metric), tuple((step, found[step][1]) for step in sorted(found)))
        for metric, found in series.items()
        if found
    )


def _attempt(one: Attempt) -> AttemptView:
    outcome = AttemptOutcome.Name(one.outcome).removeprefix("ATTEMPT_OUTCOME_").lower()
    return AttemptView(one.attempt, "going on" if outcome == "unspecified" else outcome, one.start_step, one.reason)


def _checkpoint(one: Checkpoint) -> CheckpointView:
    return CheckpointView(one.step, one.attempt, size_text(one.size_bytes), one.digest, time_text(one.create_time))
