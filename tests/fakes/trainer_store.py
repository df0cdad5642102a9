"""Inputs, attempts, checkpoints and curves in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import JobStore
from services.trainer.domain.attempt import (
    LOST_REASON,
    Attempt,
    AttemptOutcome,
    AttemptReport,
    Checkpoint,
    CurvePoint,
    refuse_report,
)
from services.trainer.domain.inputs import TrainingInputs


@dataclass
class Kept:
    attempts: dict[int, Attempt] = field(default_factory=dict)
    checkpoints: dict[int, Checkpoint] = field(default_factory=dict)
    points: dict[tuple[int, str], CurvePoint] = field(default_factory=dict)


class MemoryTrainingStore:
    def __init__(self, jobs: JobStore) -> None:
        self._jobs = jobs
        self._inputs: dict[str, TrainingInputs] = {}
        self._kept: dict[str, Kept] = {}

    async def add_inputs(self, training_job_id: str, inputs: TrainingInputs) -> TrainingInputs:
        return self._inputs.setdefault(training_job_id, inputs)

    async def get_inputs(self, training_job_ids: Sequence[str]) -> Mapping[str, TrainingInputs]:
        return {job_id: self._inputs[job_id] for job_id in training_job_ids if job_id in self._inputs}

    async def list_attempts(self, training_job_ids: Sequence[str]) -> Mapping[str, tuple[Attempt, ...]]:
        return {job_id: tuple(self._of(job_id).attempts.values()) for job_id in training_job_ids}

    async def begin_attempt(self, training_job_id: str, epoch: int, *, checkpoint: Checkpoint | None) -> Attempt:
        await self._fence(training_job_id, epoch)
        kept, start = self._of(training_job_id), checkpoint.step if checkpoint else 0
        for number, attempt in kept.attempts.items():
            if attempt.outcome is None:
                kept.attempts[number] = replace(attempt, outcome=AttemptOutcome.LOST, reason=LOST_REASON)
        kept.checkpoints = {step: item for step, item in kept.checkpoints.items() if step <= start}
        kept.points = {place: point for place, point in kept.points.items() if place[0] <= start}
        if checkpoint:
            kept.checkpoints.setdefault(start, checkpoint)
        attempt = Attempt(attempt=len(kept.attempts) + 1, epoch=epoch, start_step=start)
        kept.attempts[attempt.attempt] = attempt
        return attempt

    async def end_attempt(
        self,
        training_job_id: str,
        attempt: int,
        epoch: int,
        *,
        outcome: AttemptOutcome,
        reason: str,
        is_permanent: bool,
    ) -> Attempt:
        await self._fence(training_job_id, epoch)
        return self._end(training_job_id, attempt, (outcome, reason, is_permanent))

    async def add_report(self, report: AttemptReport, *, save_total_limit: int) -> AttemptReport:
        await self._fence(report.training_job_id, report.epoch)
        kept = self._of(report.training_job_id)
        refuse_report(report, kept.attempts.get(report.attempt))
        points = [item for item in report.curve_points if (item.step, item.metric) not in kept.points]
        checkpoints = [item for item in report.checkpoints if item.step not in kept.checkpoints]
        kept.points |= {(item.step, item.metric): item for item in points}
        kept.checkpoints |= {item.step: item for item in checkpoints}
        newest = sorted(kept.checkpoints)[-save_total_limit:]
        kept.checkpoints = {step: kept.checkpoints[step] for step in newest}
        if report.outcome:
            end = (report.outcome, report.reason, report.is_permanent)
            self._end(report.training_job_id, report.attempt, end)
        return replace(report, curve_points=tuple(points), checkpoints=tuple(checkpoints))

    async def list_checkpoints(self, training_job_id: str) -> tuple[Checkpoint, ...]:
        stored = self._of(training_job_id).checkpoints
        return tuple(stored[step] for step in sorted(stored, reverse=True))

    async def list_curve_points(
        self, training_job_id: str, metric: str, *, after: tuple[int, str], limit: int
    ) -> tuple[CurvePoint, ...]:
        stored = self._of(training_job_id).points
        wanted = [stored[place] for place in sorted(stored) if place > after]
        return tuple(point for point in wanted if metric in ("", point.metric))[:limit]

    def _of(self, job_id: str) -> Kept:
        return self._kept.setdefault(job_id, Kept())

    def _end(self, job_id: str, number: int, end: tuple[AttemptOutcome, str, bool]) -> Attempt:
        attempt = self._of(job_id).attempts[number]
        if attempt.outcome is None:
            outcome, reason, is_permanent = end
            attempt = replace(attempt, outcome=outcome, reason=reason, is_permanent=is_permanent)
            self._of(job_id).attempts[number] = attempt
        return attempt

    async def _fence(self, job_id: str, epoch: int) -> None:
        if (await self._jobs.get(job_id)).epoch != epoch:
            raise FailedPrecondition("The job was taken over.")
