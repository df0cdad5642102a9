"""What the wire tells about a job of another service, in this service's words."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from drillyard.job.v1 import job_pb2

from services.chassis.jobs.convert import state_of
from services.chassis.waiting import follow, patiently
from services.chassis.wire import from_message
from services.feedback.domain.work import WorkProgress, WorkState

GetJob = Callable[[], Awaitable[job_pb2.Job]]
OpenWatch = Callable[[int], AsyncIterable[Any]]


async def progress_until_end(get_job: GetJob, open_watch: OpenWatch, peer: str) -> AsyncGenerator[WorkProgress, None]:
    """Yield how far a job is, from now until it has ended, over lost connections.

    Args:
        get_job: Returns the job as it stands.
        open_watch: Opens its watch stream after a sequence; each response has an `event`.
        peer: The service, as in `patiently`.
    """
    job = await patiently(get_job, peer)
    yield _progress(job.progress)
    if state_of(job).is_final:
        return
    events = follow(
        lambda after: aiter(open_watch(after)),
        _sequence_of,
        after_sequence=job.last_sequence,
        peer=peer,
    )
    async with aclosing(events) as responses:
        async for response in responses:
            if response.event.HasField("progress"):
                yield _progress(response.event.progress)


def work_state(job: job_pb2.Job) -> WorkState:
    """Return how a job stands."""
    return WorkState(state_of(job), job.error.code, job.error.problem, job.error.next_step)


def _sequence_of(response: Any) -> int:
    return int(response.event.sequence)


def _progress(progress: job_pb2.JobProgress) -> WorkProgress:
    return from_message(WorkProgress, progress)
