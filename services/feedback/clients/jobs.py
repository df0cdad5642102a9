"""What the wire tells about a job of another service, in this service's words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from typing import Any

from drillyard.job.v1 import job_pb2

from services.chassis.jobs.convert import state_of
from services.chassis.waiting import follow, patiently
from services.chassis.wire import from_message
from services.feedback.domain.work import WorkProgress, WorkState


class JobClient(ABC):
    """Follows and cancels jobs of one kind in another service, over lost connections."""

    _peer: str
    """The service, as in `patiently`."""

    @abstractmethod
    async def _job(self, work_id: str) -> job_pb2.Job:
        """Return the job as it stands."""

    @abstractmethod
    def _events(self, work_id: str, after_sequence: int) -> AsyncIterable[Any]:
        """Open its watch stream after a sequence; each response has an `event`."""

    @abstractmethod
    async def _cancel(self, work_id: str) -> object:
        """Ask the service to cancel it."""

    async def watch(self, work_id: str) -> AsyncGenerator[WorkProgress, None]:
        """Yield how far the job is, from now until it has ended."""
        job = await patiently(lambda: self._job(work_id), self._peer)
        yield _progress(job.progress)
        if state_of(job).is_final:
            return
        events = follow(
            lambda after: aiter(self._events(work_id, after)),
            _sequence_of,
            after_sequence=job.last_sequence,
            peer=self._peer,
        )
        async with aclosing(events) as responses:
            async for response in responses:
                if response.event.HasField("progress"):
                    yield _progress(response.event.progress)

    async def state(self, work_id: str) -> WorkState:
        """Return how the job stands."""
        job = await patiently(lambda: self._job(work_id), self._peer)
        error = job.error
        end = job.end_time.ToDatetime() if job.HasField("end_time") else None
        return WorkState(state_of(job), error.code, error.problem, error.next_step, _worked_seconds(job), end)

    async def cancel(self, work_id: str) -> None:
        """Cancel the job.

        Raises:
            FailedPrecondition: It has ended.
        """
        await patiently(lambda: self._cancel(work_id), self._peer)


def _worked_seconds(job: job_pb2.Job) -> float:
    """Return for how long a job that has ended was worked on; of an earlier release's by its clock times."""
    if not (job.HasField("start_time") and job.HasField("end_time")):
        return 0.0
    if job.HasField("worked_seconds"):
        return job.worked_seconds
    # Between them the clock may have been set back.
    return max(0.0, (job.end_time.ToDatetime() - job.start_time.ToDatetime()).total_seconds())


def _sequence_of(response: Any) -> int:
    return int(response.event.sequence)


def _progress(progress: job_pb2.JobProgress) -> WorkProgress:
    return from_message(WorkProgress, progress)
