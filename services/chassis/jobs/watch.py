"""The history of a job as a stream: first what is stored, then what happens."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from services.chassis.errors import InvalidArgument
from services.chassis.jobs.bell import events_of
from services.chassis.jobs.job import JobEvent
from services.chassis.jobs.requests import JobRequests

# Only for changes that another process made; those of this one ring. Where many watch, each looks less often.
_POLL_SECONDS = 2.0
_POLLS_A_SECOND = 50


async def watch(store: JobRequests, job_id: str, after_sequence: int = 0) -> AsyncGenerator[JobEvent]:
    """Yield each event above `after_sequence` once and in order; end after the job's final one.

    Raises:
        NotFound: There is no such job.
        InvalidArgument: `after_sequence` is negative or lies beyond the history.
    """
    job = await store.get(job_id)
    newest = job.last_sequence
    if not 0 <= after_sequence <= newest:
        raise InvalidArgument(
            f"The job has no event {after_sequence}; its newest is {newest}.",
            "Use the sequence of the last event that you have, or 0.",
            field="after_sequence",
        )
    if job.is_final and after_sequence == newest:
        return
    with store.bell.listen(events_of(job_id)) as listener:
        while True:
            events = await store.events(job_id, after_sequence)
            for event in events:
                yield event
                if event.is_final:
                    return
                after_sequence = event.sequence
            if not events:
                await listener.wait(max(_POLL_SECONDS, store.bell.num_topics / _POLLS_A_SECOND))
