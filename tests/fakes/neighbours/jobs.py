"""Durable jobs of a fake neighbour: real rules, in memory, done at once unless a gate holds them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

from drillyard.job.v1 import job_pb2

from services.chassis.jobs import Job, JobContext, JobRunner, Json, MemoryJobStore, watch
from services.chassis.jobs.convert import event_to_proto
from tests.fakes.neighbours.gates import Gates

Work = Callable[[Job], Awaitable[Json]]


class FakeJobs:
    """Jobs of one kind.

    A create is held at "<request>:answer" when the job is stored and the caller does not know it yet, the work at
    "<request>:work", and who watches it at "<request>:watch".
    """

    def __init__(self, kind: str, gates: Gates, work: Work) -> None:
        self.store = MemoryJobStore()
        self._kind = kind
        self._gates = gates
        self._work = work
        self._runner = JobRunner(self.store, owner="fake", is_only_owner=True)
        self._runner.register(kind, self._do, limit=10)

    async def start(self) -> None:
        """Begin to work."""
        await self._runner.start()

    async def stop(self) -> None:
        """End all work."""
        await self._runner.stop(1.0)

    async def create(self, request_id: str, spec: Json) -> Job:
        """Store a job once per request id."""
        job = await self.store.create(self._kind, request_id, spec)
        await self._gates.enter(request_id, "answer")
        return job

    async def all(self) -> list[Job]:
        """Return every job, oldest first."""
        jobs, _ = await self.store.list(self._kind, 200)
        return jobs[::-1]

    async def watch(self, job_id: str, after_sequence: int) -> AsyncIterator[job_pb2.JobEvent]:
        """Yield events as the wire has them."""
        await self._gates.enter((await self.store.get(job_id)).request_id, "watch")
        async with aclosing(watch(self.store, job_id, after_sequence)) as events:
            async for event in events:
                yield event_to_proto(event)

    async def _do(self, context: JobContext) -> Json:
        await context.progress(phase="fake", done=1, total=2, unit="units")
        await self._gates.enter(context.job.request_id, "work")
        await context.progress(done=2, message="nearly there")
        return await self._work(context.job)
