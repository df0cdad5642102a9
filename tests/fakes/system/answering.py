"""What the made-up services answer their requests with: rows, pages of rows, events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from drillyard.job.v1 import job_pb2

from services.chassis.errors import NotFound

FINAL = (6, 7, 8)


def find(listed: Sequence[Any], field: str, wanted: str, noun: str) -> Any:
    for one in listed:
        if getattr(one, field) == wanted or getattr(one, field).rpartition("@")[0] == wanted:
            return one
    raise NotFound(f"There is no {noun} {wanted!r}.", f"List the {noun}s to see what is there.")


def page(listed: Sequence[Any], request: Any) -> tuple[list[Any], str]:
    start, size = int(request.page_token or 0), request.page_size or 50
    return list(listed[start : start + size]), str(start + size) if start + size < len(listed) else ""


def cancelled(job: job_pb2.Job) -> None:
    if job.state not in FINAL:
        job.state = job_pb2.JOB_STATE_CANCELLED
        job.end_time.GetCurrentTime()


async def events(job: job_pb2.Job, after: int, respond: Callable[..., Any]) -> AsyncIterator[Any]:
    told: list[tuple[str, dict[str, Any]]] = [
        ("state", {"state": "RUNNING"}),
        ("progress", {"phase": job.progress.phase, "num_done": job.progress.num_done}),
    ]
    for sequence, (kind, payload) in enumerate(told, start=1):
        if sequence > after:
            yield respond(event=event(job, sequence, kind, payload))
    while job.state not in FINAL:
        await asyncio.sleep(0.05)
    yield respond(event=event(job, len(told) + 1, "state", {"state": job_pb2.JobState.Name(job.state)}))


def event(job: job_pb2.Job, sequence: int, kind: str, payload: dict[str, Any]) -> job_pb2.JobEvent:
    made = job_pb2.JobEvent(job_id=job.job_id, sequence=sequence, type=kind)
    made.payload.update(payload)
    made.event_time.GetCurrentTime()
    return made
