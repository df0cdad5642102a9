"""What callers may do with training jobs, and what training processes may say."""

from __future__ import annotations

import math
import uuid
from collections.abc import AsyncGenerator, Sequence
from dataclasses import asdict, dataclass
from typing import NoReturn

from services.chassis.errors import InvalidArgument, NotFound, Unimplemented
from services.chassis.jobs import Job, JobEvent, JobState, JobStore, watch
from services.trainer.domain.attempt import Attempt, AttemptReport, Checkpoint, CurvePoint
from services.trainer.domain.inputs import TrainingInputs
from services.trainer.domain.spec import KIND, TrainingJobSpec, checked_page_size
from services.trainer.live_attempts import LiveAttempts
from services.trainer.ports import Registry, TrainingStore
from services.trainer.telemetry import TrainerTelemetry

_STOPPING = (JobState.CANCELLING, JobState.PAUSING)


@dataclass(frozen=True)
class TrainingJob:
    """A job as callers see it, with the ids of its versions resolved."""

    job: Job
    spec: TrainingJobSpec
    attempts: tuple[Attempt, ...]

    @property
    def model_version_id(self) -> str:
        """The version it registered, empty until it has succeeded."""
        return str((self.job.result or {}).get("model_version_id", ""))


class TrainingUseCases:
    """One method per RPC, in the terms of the domain."""

    def __init__(
        self,
        *,
        jobs: JobStore,
        store: TrainingStore,
        registry: Registry,
        live_attempts: LiveAttempts,
        telemetry: TrainerTelemetry,
    ) -> None:
        self._jobs = jobs
        self._store = store
        self._registry = registry
        self._live_attempts = live_attempts
        self._telemetry = telemetry

    async def create(self, request_id: str, spec: TrainingJobSpec) -> TrainingJob:
        """Store a job; the same request_id gives the same job.

        Raises:
            InvalidArgument: A value of the spec is out of bounds.
            Unimplemented: The method, or the choice of weights, is not built.
            NotFound: The model version or the dataset version does not exist.
            FailedPrecondition: The model cannot be trained, or the dataset has no example.
            AlreadyExists: The request_id was used with another spec.
        """
        spec = spec.with_defaults()
        spec.check()
        inputs = await self._registry.resolve(spec)
        job = await self._jobs.create(KIND, request_id, spec.to_document(), job_id=f"train-{uuid.uuid4().hex[:16]}")
        await self._store.add_inputs(job.job_id, inputs)
        return await self._joined(job)

    async def get(self, training_job_id: str) -> TrainingJob:
        """Return a job.

        Raises:
            NotFound: There is none.
        """
        return await self._joined(await self._job(training_job_id))

    async def list_jobs(self, page_size: int, page_token: str) -> tuple[list[TrainingJob], str]:
        """Return jobs, newest first, and the token of the next page."""
        jobs, token = await self._jobs.list(KIND, checked_page_size(page_size), page_token)
        return await self._joined_all(jobs), token

    async def cancel(self, training_job_id: str) -> TrainingJob:
        """Ask a job to end; its checkpoints are kept.

        Raises:
            FailedPrecondition: The job has ended.
        """
        await self._job(training_job_id)
        return await self._joined(await self._jobs.request_cancel(training_job_id))

    async def pause(self, training_job_id: str) -> NoReturn:
        """Refuse: not built.

        Raises:
            Unimplemented: Always, for a job that exists.
        """
        await self._job(training_job_id)
        raise Unimplemented(
            "Pausing a training job is not built in this version.",
            "Cancel the job; its checkpoints are kept.",
        )

    async def resume(self, training_job_id: str) -> NoReturn:
        """Refuse: not built.

        Raises:
            Unimplemented: Always, for a job that exists.
        """
        await self._job(training_job_id)
        raise Unimplemented(
            "Resuming a paused training job is not built in this version.",
            "Start a new job; one that was interrupted goes on by itself.",
        )

    async def watch(self, training_job_id: str, after_sequence: int) -> AsyncGenerator[JobEvent]:
        """Yield the events of a job, ending after the final one."""
        await self._job(training_job_id)
        async for event in watch(self._jobs, training_job_id, after_sequence):
            yield event

    async def list_checkpoints(
        self, training_job_id: str, page_size: int, page_token: str
    ) -> tuple[list[Checkpoint], str]:
        """Return checkpoints, newest first, and the token of the next page."""
        size, below = checked_page_size(page_size), _number(page_token or str(1 << 62))
        await self._job(training_job_id)
        found = [item for item in await self._store.list_checkpoints(training_job_id) if item.step < below]
        return found[:size], str(found[size - 1].step) if len(found) > size else ""

    async def list_curve_points(
        self, training_job_id: str, metric: str, *, page_size: int, page_token: str
    ) -> tuple[Sequence[CurvePoint], str]:
        """Return points by step, and the token of the next page."""
        size = checked_page_size(page_size)
        step, _, name = page_token.partition(":")
        await self._job(training_job_id)
        after = (_number(step or "0"), name)
        found = await self._store.list_curve_points(training_job_id, metric, after=after, limit=size + 1)
        token = f"{found[size - 1].step}:{found[size - 1].metric}" if len(found) > size else ""
        return found[:size], token

    async def report(self, report: AttemptReport) -> bool:
        """Store what a training process says, and return whether it shall save and end.

        Raises:
            NotFound: There is no such job.
            InvalidArgument: A value is not a number.
            FailedPrecondition: The attempt is not the job's any more.
        """
        job = await self._job(report.training_job_id)
        if not all(math.isfinite(point.value) for point in report.curve_points):
            raise InvalidArgument(
                "A curve point's value is not a number.", "Report finite values.", field="curve_points"
            )
        limit = TrainingJobSpec.from_document(job.spec).save_total_limit
        news = await self._store.add_report(report, save_total_limit=limit)
        await self._tell(news)
        self._telemetry.reported(news)
        self._live_attempts.observe(report)
        return job.state in _STOPPING

    async def _tell(self, news: AttemptReport) -> None:
        for point in news.curve_points:
            await self._jobs.append_event(news.training_job_id, news.epoch, "point", asdict(point))
        for item in news.checkpoints:
            payload = {
                "step": item.step,
                "uri": item.uri,
                "digest": item.digest,
                "size_bytes": item.size_bytes,
                "attempt": item.attempt,
            }
            await self._jobs.append_event(news.training_job_id, news.epoch, "checkpoint", payload)

    async def _joined(self, job: Job) -> TrainingJob:
        return (await self._joined_all([job]))[0]

    async def _joined_all(self, jobs: Sequence[Job]) -> list[TrainingJob]:
        ids = [job.job_id for job in jobs]
        inputs, attempts = await self._store.get_inputs(ids), await self._store.list_attempts(ids)
        return [TrainingJob(job, _resolved(job, inputs.get(job.job_id)), attempts[job.job_id]) for job in jobs]

    async def _job(self, training_job_id: str) -> Job:
        try:
            job = await self._jobs.get(training_job_id)
        except NotFound:
            job = None
        if job is None or job.kind != KIND:
            raise NotFound(
                f"There is no training job {training_job_id[:100]!r}.", "List the training jobs to see their ids."
            )
        return job


def _resolved(job: Job, inputs: TrainingInputs | None) -> TrainingJobSpec:
    spec = TrainingJobSpec.from_document(job.spec)
    return inputs.resolved(spec) if inputs else spec


def _number(token: str) -> int:
    if not (token.isascii() and token.isdigit() and len(token) < 20):
        raise InvalidArgument(
            "The page token is not one that this list gave out.", "Start again without a token.", field="page_token"
        )
    return int(token)
