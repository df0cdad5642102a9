"""What the wire tells about a job of another service, in this service's words."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import ModuleType
from typing import Any

from drillyard.job.v1 import job_pb2

from services.chassis.jobs.convert import state_of
from services.chassis.waiting import follow, patiently
from services.chassis.wire import from_message
from services.feedback.domain.work import WorkProgress, WorkState


class JobClient:
    """Finds, follows and cancels jobs of one kind in another service, over lost connections."""

    _peer: str
    """The service, as in `patiently`."""
    _noun: str
    """The kind, as in the names of its RPCs and messages, such as `GetEvaluation`."""
    _messages: ModuleType
    """Where those messages are; the first field of each request is the job's id, of each response the job."""
    _stub: Any

    def _call(self, verb: str, work_id: str, **fields: Any) -> Any:
        request_type = getattr(self._messages, f"{verb}{self._noun}Request")
        id_field = request_type.DESCRIPTOR.fields[0].name
        return getattr(self._stub, f"{verb}{self._noun}")(request_type(**{id_field: work_id}, **fields))

    async def _get(self, work_id: str) -> Any:
        """Return what the service says of it, its `job` included."""
        response = await patiently(lambda: self._call("Get", work_id), self._peer)
        return getattr(response, response.DESCRIPTOR.fields[0].name)

    async def watch(self, work_id: str) -> AsyncGenerator[WorkProgress, None]:
        """Yield how far the job is, from now until it has ended."""
        job = (await self._get(work_id)).job
        yield _progress(job.progress)
        if state_of(job).is_final:
            return
        events = follow(
            lambda after: aiter(self._call("Watch", work_id, after_sequence=after)),
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
        job = (await self._get(work_id)).job
        error = job.error
        end = job.end_time.ToDatetime() if job.HasField("end_time") else None
        return WorkState(state_of(job), error.code, error.problem, error.next_step, _worked_seconds(job), end)

    async def cancel(self, work_id: str) -> None:
        """Cancel the job.

        Raises:
            FailedPrecondition: It has ended.
        """
        await patiently(lambda: self._call("Cancel", work_id), self._peer)


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
