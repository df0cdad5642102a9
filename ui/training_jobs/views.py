"""Training jobs as a person sees them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from drillyard.trainer.v1.checkpoint_pb2 import Checkpoint, CurvePoint
from drillyard.trainer.v1.training_job_pb2 import Attempt, TrainingJob
from drillyard.trainer.v1.training_spec_pb2 import TrainingJobSpec

from services.chassis.wire import fields_of
from ui.shared.jobs import JobView, job_view
from ui.shared.settings import settings_of

# In the order in which they are shown: what is learned, how it goes, and of reinforcement what is drawn and rewarded.
CURVES = {
    "loss": "Loss",
    "validation_loss": "Validation loss",
    "adherence": "Adherence",
    "reward": "Reward",
    "learning_rate": "Learning rate",
    "tokens_per_second": "Tokens per second",
    "grad_norm": "Length of the gradient",
}
_GROUPS = (
    ("What is learned", ("loss", "validation_loss", "adherence", "reward", "accuracy", "margin")),
    ("Rewards by component", ("reward/", "reward_")),
    ("What is drawn", ("entropy", "kl", "mixed", "truncat", "length", "drift", "eos", "violation", "completion")),
)
_OTHERS = "How it goes"
_USUAL = ("method", "trained_weights", "num_epochs", "batch_size", "learning_rate")


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
    spec: TrainingJobSpec
    job: JobView
    attempts: list[Attempt]
    curves: list[CurveView]
    checkpoints: list[Checkpoint]

    @property
    def curve_groups(self) -> list[tuple[str, list[CurveView]]]:
        """The curves under the titles of what they tell of."""
        groups: dict[str, list[CurveView]] = {title: [] for title in (*dict(_GROUPS), _OTHERS)}
        for curve in self.curves:
            groups[_group_of(curve.metric)].append(curve)
        return [(title, curves) for title, curves in groups.items() if curves]

    @property
    def needed_steps(self) -> frozenset[int]:
        """Steps whose checkpoints cannot be deleted: the newest and the best while it works, its result afterwards."""
        if not self.checkpoints or self.job.state in ("failed", "cancelled"):
            return frozenset()
        newest = self.checkpoints[0].step
        best = max(self.checkpoints, key=lambda item: (item.score if item.HasField("score") else -1.0, item.step)).step
        return frozenset((newest, best))


def training_job_view(
    job: TrainingJob, points: Iterable[CurvePoint] = (), checkpoints: Iterable[Checkpoint] = ()
) -> TrainingJobView:
    """Return the view of a training job."""
    return TrainingJobView(
        training_job_id=job.training_job_id,
        model_version_id=job.spec.model_version_id,
        dataset_version_id=job.spec.dataset_version_id,
        result_version_id=job.model_version_id,
        settings=_settings(job.spec),
        spec=job.spec,
        job=job_view(job.job),
        attempts=list(job.attempts),
        curves=_curves(points),
        checkpoints=list(checkpoints),
    )


def _settings(spec: TrainingJobSpec) -> list[tuple[str, str]]:
    """Return what a person asks first, and what else differs from its default."""
    others = tuple(field.path for field in fields_of(TrainingJobSpec) if field.path not in _USUAL)
    usual = settings_of(spec, leaving_out=others)
    shown = ("model_version_id", "dataset_version_id", *_USUAL)
    return [*usual, *settings_of(spec, leaving_out=shown, changed_only=True)]


def _group_of(metric: str) -> str:
    if metric in _GROUPS[0][1]:
        return _GROUPS[0][0]
    return next((title for title, names in _GROUPS[1:] if any(name in metric for name in names)), _OTHERS)


def _curves(points: Iterable[CurvePoint]) -> list[CurveView]:
    series: dict[str, dict[int, CurvePoint]] = {metric: {} for metric in CURVES}
    for point in points:
        steps = series.setdefault(point.metric, {})
        if point.step not in steps or point.attempt >= steps[point.step].attempt:
            steps[point.step] = point
    return [
        CurveView(metric, _title(metric), tuple((step, steps[step].value) for step in sorted(steps)))
        for metric, steps in series.items()
        if steps
    ]


def _title(metric: str) -> str:
    return CURVES.get(metric, metric.replace("_", " ").replace("/", ": ").capitalize())
