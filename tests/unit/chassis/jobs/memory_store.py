"""Jobs in memory, a port's second implementation that only tests need."""

from __future__ import annotations

import asyncio
import copy
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

from services.chassis.jobs.job import Job, JobEvent, JobState
from services.chassis.jobs.requests import Ledger
from services.chassis.jobs.store import JobStore


class MemoryJobStore(JobStore):
    """A job store that ends with its process. `clock` is the lease clock, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._ledger = _MemoryLedger(clock)
        self._lock = asyncio.Lock()

    async def queued_since(self, kinds: Sequence[str]) -> dict[str, datetime]:
        """Return when the job that has been QUEUED for longest became so, per kind of `kinds` that has one."""
        jobs = [job for job in self._ledger._jobs.values() if job.kind in kinds and job.state is JobState.QUEUED]
        # The newest first, so that of each kind the oldest stays.
        return {job.kind: job.update_time for job in sorted(jobs, key=lambda job: job.update_time, reverse=True)}

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[Ledger]:
        async with self._lock:
            before = copy.copy(self._ledger)
            try:
                yield self._ledger
            except BaseException:
                self._ledger = before
                raise

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[Ledger]:
        yield self._ledger


class _MemoryLedger:
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._jobs: dict[str, Job] = {}
        self._events: dict[str, list[JobEvent]] = {}

    def __copy__(self) -> _MemoryLedger:
        twin = _MemoryLedger(self._clock)
        twin._jobs = dict(self._jobs)
        twin._events = {job_id: list(events) for job_id, events in self._events.items()}
        return twin

    async def now(self) -> datetime:
        return datetime.now(UTC)

    async def lease_clock(self) -> float:
        return self._clock()

    async def load(self, job_id: str) -> Job | None:
        return copy.deepcopy(self._jobs.get(job_id))

    async def find(self, kind: str, request_id: str) -> Job | None:
        return next((job for job in self._jobs.values() if (job.kind, job.request_id) == (kind, request_id)), None)

    async def insert(self, job: Job) -> bool:
        if job.job_id in self._jobs or await self.find(job.kind, job.request_id):
            return False
        self._jobs[job.job_id] = replace(
            job, ordinal=max((stored.ordinal for stored in self._jobs.values()), default=0) + 1
        )
        return True

    async def save(self, job: Job, events: Sequence[JobEvent]) -> None:
        self._jobs[job.job_id] = replace(job, ordinal=self._jobs[job.job_id].ordinal)
        self._events.setdefault(job.job_id, []).extend(events)

    async def next_claimable(self, kinds: Sequence[str], clock: float, *, excluding: Collection[str]) -> Job | None:
        wanted = (job for job in self._jobs.values() if job.kind in kinds and job.job_id not in excluding)
        free = (job for job in wanted if _is_claimable(job, clock))
        return min(free, key=lambda job: job.ordinal, default=None)

    async def end_leases(self, kinds: Sequence[str]) -> int:
        jobs = [job for job in self._jobs.values() if job.kind in kinds and job.state.is_owned]
        self._jobs |= {job.job_id: replace(job, lease_until=None, lease_expire_time=None) for job in jobs}
        return len(jobs)

    async def page(self, kind: str, before: int, size: int) -> list[Job]:
        jobs = [job for job in self._jobs.values() if job.kind == kind and job.ordinal < before]
        return sorted(jobs, key=lambda job: -job.ordinal)[:size]

    async def events(self, job_id: str, after_sequence: int, limit: int) -> list[JobEvent]:
        events = self._events.get(job_id, [])
        return [event for event in events if event.sequence > after_sequence][:limit]

    async def delete(self, job_id: str) -> None:
        del self._jobs[job_id], self._events[job_id]

    async def count(self) -> dict[tuple[str, str], int]:
        return Counter((job.kind, str(job.state)) for job in self._jobs.values())


def _is_claimable(job: Job, clock: float) -> bool:
    if job.state is JobState.QUEUED:
        return True
    return job.state.is_owned and (job.lease_until is None or job.lease_until <= clock)
