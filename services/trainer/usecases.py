"""What callers may do with training jobs, and what training processes may say."""

from __future__ import annotations

import math
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from services.chassis.errors import InvalidArgument
from services.chassis.jobs import Job, JobResource, JobState, JobStore, Json
from services.chassis.wire import from_document, to_document
from services.chassis.wire.paging import LAST_PLACE, checked_page_size, page_of, place_of
from services.trainer.domain.attempt import Attempt, AttemptReport, Checkpoint, CheckpointFile, CurvePoint
from services.trainer.domain.inputs import TrainingInputs
from services.trainer.domain.spec import KIND, TrainingJobSpec
from services.trainer.jobs.inputs import JobInputs
from services.trainer.live_attempts import LiveAttempts
from services.trainer.ports import TrainingStore
from services.trainer.telemetry import TrainerTelemetry

_STOPPING = (JobState.CANCELLING, JobState.PAUSING)


@dataclass(frozen=True)
class TrainingJob:
    """A job as callers see it, with the ids of its versions resolved."""

    job: Job
    spec: TrainingJobSpec
    attempts: tuple[Attempt, ...]

    @property
    def training_job_id(self) -> str:
        """The id of the job."""
        return self.job.job_id

    @property
    def model_version_id(self) -> str:
        """The version it registered, empty until it has succeeded."""
        return str((self.job.result or {}).get("model_version_id", ""))


class TrainingUseCases:
    """What needs a decision; `resource` does what every kind of job lets callers do."""

    def __init__(
        self,
        *,
        jobs: JobStore,
        store: TrainingStore,
        inputs: JobInputs,
        live_attempts: LiveAttempts,
        telemetry: TrainerTelemetry,
        forget: Callable[[Job], Awaitable[None]],
    ) -> None:
        """`forget` removes all that is kept of a job besides its row."""
        self.resource = JobResource(jobs, KIND, "training job", self._load, forget=self._forget)
        self._forget_job = forget
        self._jobs = jobs
        self._store = store
        self._inputs = inputs
        self._checkpoints = inputs.checkpoints
        self._live_attempts = live_attempts
        self._telemetry = telemetry

    async def create(self, request_id: str, spec: TrainingJobSpec) -> TrainingJob:
        """Store a job; the same request_id gives the same job.

        Raises:
            InvalidArgument: The values of the spec do not fit each other.
            NotFound: The model version, the dataset version or the checkpoint of a fork does not exist.
            FailedPrecondition: The model cannot be trained, or the dataset has no example.
            ResourceExhausted: There is no room for what a fork begins with.
            AlreadyExists: The request_id was used with another spec.
        """
        spec.check()
        inputs = await self._inputs.resolve(spec)
        job_id = f"train-{uuid.uuid4().hex[:16]}"
        job = await self._jobs.create(KIND, request_id, to_document(spec), job_id=job_id, rewrite=_rewritten)
        await self._inputs.store(job.job_id, spec, inputs)
        return await self.resource.resource(job)

    async def get_checkpoint(self, training_job_id: str, step: int) -> tuple[Checkpoint, tuple[CheckpointFile, ...]]:
        """Return the checkpoint of a step, and its files by path.

        Raises:
            NotFound: There is no such job, or none of that step.
            FailedPrecondition: Its manifest cannot be read.
        """
        job = await self.resource.job(training_job_id)
        checkpoint = await self._checkpoints.get(job, step)
        return checkpoint, await self._checkpoints.files(job, checkpoint)

    async def delete_checkpoint(self, training_job_id: str, step: int) -> None:
        """Delete the checkpoint of a step.

        Raises:
            NotFound: There is no such job, or none of that step.
            FailedPrecondition: It is the result, or the job has not ended and needs it.
        """
        job = await self.resource.job(training_job_id)
        await self._checkpoints.delete(job, await self._checkpoints.get(job, step))

    async def list_checkpoints(
        self, training_job_id: str, page_size: int, page_token: str
    ) -> tuple[list[Checkpoint], str]:
        """Return checkpoints, newest first, and the token of the next page."""
        size, below = checked_page_size(page_size), place_of(page_token, LAST_PLACE)
        await self.resource.job(training_job_id)
        checkpoints = [item for item in await self._store.list_checkpoints(training_job_id) if item.step < below]
        return page_of(checkpoints, size, lambda item: item.step)

    async def list_curve_points(
        self, training_job_id: str, metric: str, *, page_size: int, page_token: str
    ) -> tuple[list[CurvePoint], str]:
        """Return points by step, and the token of the next page."""
        size, after = checked_page_size(page_size), place_of(page_token, (0, ""))
        await self.resource.job(training_job_id)
        points = await self._store.list_curve_points(training_job_id, metric, after=after, limit=size + 1)
        return page_of(points, size, lambda point: (point.step, point.metric))

    async def report(self, report: AttemptReport) -> bool:
        """Store what a training process says, and return whether it shall save and end.

        Raises:
            NotFound: There is no such job.
            InvalidArgument: A value is not a number.
            FailedPrecondition: The attempt is not the job's any more.
        """
        job = await self.resource.job(report.training_job_id)
        if not all(math.isfinite(point.value) for point in report.curve_points):
            raise InvalidArgument(
                "A curve point's value is not a number.", "Report finite values.", field="curve_points"
            )
        limit = from_document(TrainingJobSpec, job.spec).save_total_limit
        news = await self._store.add_report(report, save_total_limit=limit)
        self._jobs.announce_events(report.training_job_id)
        self._telemetry.reported(news)
        self._live_attempts.observe(report)
        return job.state in _STOPPING or self._live_attempts.is_draining

    async def _forget(self, training_job_id: str) -> None:
        await self._forget_job(await self._jobs.get(training_job_id))

    async def _load(self, jobs: Sequence[Job]) -> list[TrainingJob]:
        ids = [job.job_id for job in jobs]
        inputs, attempts = await self._store.get_inputs(ids), await self._store.list_attempts(ids)
        return [TrainingJob(job, _resolved(job, inputs.get(job.job_id)), tuple(attempts[job.job_id])) for job in jobs]


def _rewritten(document: Json) -> Json:
    return to_document(from_document(TrainingJobSpec, document))


def _resolved(job: Job, inputs: TrainingInputs | None) -> TrainingJobSpec:
    spec = from_document(TrainingJobSpec, job.spec)
    return inputs.resolved(spec) if inputs else spec
