"""Attempts at a job, the checkpoints they leave and the values they measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from services.chassis.errors import FailedPrecondition


class TrainingJobPhase(StrEnum):
    """What a training job does now."""

    START = "start"
    CHECK_ROWS = "check_rows"
    LOAD_MODEL = "load_model"
    TRAIN = "train"
    ADHERENCE = "adherence"
    REGISTER = "register"


class AttemptOutcome(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    LOST = "lost"


class PreemptedError(Exception):
    """The processes were taken away for others' sake: that is no failure, and another attempt goes on."""


@dataclass(frozen=True)
class Attempt:
    """One process group that worked, or works, on a job.

    Attributes:
        attempt: Counts the attempts of a job, from 1.
        epoch: The hold of the job under which it was started; reports of another are refused.
        start_step: Steps that were done before it began.
        outcome: None while it goes on.
        reason: Why it ended, for people.
        is_permanent: Whether another attempt would end the same way.
    """

    attempt: int
    epoch: int
    start_step: int = 0
    outcome: AttemptOutcome | None = None
    reason: str = ""
    is_permanent: bool = False


@dataclass(frozen=True)
class Checkpoint:
    """A folder that is whole, since its manifest is written last; `digest` is the manifest's.

    `score` is what was measured after its step, if anything was.
    """

    step: int
    attempt: int
    uri: str
    digest: str
    size_bytes: int
    create_time: datetime
    score: float | None = None


@dataclass(frozen=True)
class CheckpointFile:
    """One file of a checkpoint, by its place below the folder, as the manifest has it."""

    path: str
    digest: str
    size_bytes: int


@dataclass(frozen=True)
class CurvePoint:
    """One measured value after an optimizer step, counted from 1."""

    metric: str
    step: int
    value: float
    attempt: int


@dataclass(frozen=True)
class AttemptReport:
    """What a training process says about itself."""

    training_job_id: str
    attempt: int
    epoch: int
    num_steps_done: int = 0
    num_steps_total: int = 0
    phase: str = ""
    curve_points: tuple[CurvePoint, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()
    outcome: AttemptOutcome | None = None
    reason: str = ""
    is_permanent: bool = False
    notices: tuple[str, ...] = ()
    host_memory_bytes: int = 0
    gpu_memory_bytes: int = 0


def num_failures(attempts: tuple[Attempt, ...], start_step: int) -> int:
    """Count the attempts that failed by themselves and left nothing from which one at `start_step` could go on.

    One that was lost with the service is not counted: the service counts its own ends.
    """
    return sum(
        attempt.outcome in (AttemptOutcome.FAILED, AttemptOutcome.LOST)
        and attempt.reason != LOST_REASON
        and attempt.start_step >= start_step
        for attempt in attempts
    )


LOST_REASON = "The trainer service ended while the attempt was going on."


def refuse_report(report: AttemptReport, attempt: Attempt | None) -> None:
    """Return when `attempt` is the one that may report now, or has ended by the same report.

    Raises:
        FailedPrecondition: It is not of the report's epoch, has ended otherwise or does not exist.
    """
    ends = ((None, ""), (report.outcome, report.reason))
    if attempt is None or attempt.epoch != report.epoch or (attempt.outcome, attempt.reason) not in ends:
        raise FailedPrecondition(
            f"Attempt {report.attempt} under epoch {report.epoch} does not go on any more.",
            "End this training process; a newer attempt has its place.",
        )


SCORE: Final = "adherence"


def best_step(scores: Mapping[int, float]) -> int:
    """Return the first step with the highest score; 0 where none was measured."""
    return min(scores, key=lambda step: (-scores[step], step), default=0)
