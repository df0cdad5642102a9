"""What every kind of durable job lets callers do: get, list, cancel, pause, resume, delete and watch."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Generic, TypeVar

import structlog

from services.chassis.errors import FailedPrecondition, NotFound
from services.chassis.jobs import rules
from services.chassis.jobs.job import UNREADABLE, Job, JobEvent, Json, unreadable_job
from services.chassis.jobs.store import JobStore
from services.chassis.jobs.watch import watch

T = TypeVar("T")
_log = structlog.get_logger()


class JobResource(Generic[T]):
    """The jobs of one kind as callers see them.

    Args:
        jobs: Where the service keeps its jobs.
        kind: The kind, as given to `JobStore.create`.
        noun: What a person calls such a job, such as "training job".
        load: Returns the resources that jobs are, in their order, with what the service keeps beside them; `each`
            makes it where that is nothing.
        forget: Removes what the service keeps beside a job; None where that is nothing.
    """

    def __init__(
        self,
        jobs: JobStore,
        kind: str,
        noun: str,
        load: Callable[[Sequence[Job]], Awaitable[list[T]]],
        *,
        forget: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self._jobs = jobs
        self._kind = kind
        self._noun = noun
        self._load = load
        self._forget = forget

    async def add(
        self,
        request_id: str,
        spec: Json,
        *,
        job_id: str | None = None,
        rewrite: Callable[[Json], Json] = lambda earlier: earlier,
    ) -> T:
        """Store a job, as `JobStore.create` does, and return what it is."""
        job = await self._jobs.create(self._kind, request_id, spec, job_id=job_id, rewrite=rewrite)
        return await self.resource(job)

    async def known(self, job_id: str) -> T | None:
        """Return what a job is, or None where there is none."""
        try:
            return await self.get(job_id)
        except NotFound:
            return None

    async def job(self, job_id: str) -> Job:
        """Return the job itself.

        Raises:
            NotFound: There is none of this kind.
        """
        try:
            job = await self._jobs.get(job_id)
        except NotFound:
            job = None
        if job is None or job.kind != self._kind:
            raise NotFound(
                f"There is no {self._noun} {job_id[:100]!a}.", f"List the {self._noun}s to see their ids."
            ) from None
        return job

    async def resource(self, job: Job) -> T:
        """Return the resource that a job is."""
        return (await self._load([job]))[0]

    async def get(self, job_id: str) -> T:
        """Return the resource.

        Raises:
            NotFound: There is none.
        """
        return await self.resource(await self.job(job_id))

    async def list(self, page_size: int = 0, page_token: str = "") -> tuple[list[T], str]:
        """Return a page of resources, newest first, and the token of the next page.

        Raises:
            InvalidArgument: The page size is out of bounds, or the token is not one that this list gave out.
        """
        jobs, token = await self._jobs.list(self._kind, page_size, page_token)
        try:
            return await self._load(jobs), token
        except UNREADABLE:
            resources = [await self._shown(job) for job in jobs]
            return [resource for resource in resources if resource is not None], token

    async def _shown(self, job: Job) -> T | None:
        """Return a job's resource; a FAILED one if this release cannot read it, or None if there can be none."""
        try:
            return await self.resource(job)
        except UNREADABLE as error:
            _log.error("job_unreadable", job_id=job.job_id, reason=f"{type(error).__name__}: {error}")
        problem = FailedPrecondition("This release cannot read the job.", "Use the release that stored it.")
        try:
            return await self.resource(unreadable_job(job.job_id, job.kind, job.ordinal, problem))
        except UNREADABLE:
            return None

    async def cancel(self, job_id: str) -> T:
        """Ask a job to end; what it has stored is kept.

        Raises:
            NotFound: There is none.
            FailedPrecondition: It has ended.
        """
        await self.job(job_id)
        return await self.resource(await self._jobs.request_cancel(job_id))

    async def pause(self, job_id: str) -> T:
        """Ask a job to save its work and stop.

        Raises:
            NotFound: There is none.
            FailedPrecondition: It has ended or is being cancelled.
        """
        await self.job(job_id)
        return await self.resource(await self._jobs.request_pause(job_id))

    async def resume(self, job_id: str) -> T:
        """Queue a paused job again.

        Raises:
            NotFound: There is none.
            FailedPrecondition: It is not paused.
        """
        await self.job(job_id)
        return await self.resource(await self._jobs.resume(job_id))

    async def delete(self, job_id: str) -> None:
        """Remove a job that has ended, with its history and what the service keeps beside it.

        Raises:
            NotFound: There is none.
            FailedPrecondition: It has not ended.
        """
        rules.check_ended(await self.job(job_id))
        # The job goes last: where a process dies in between, it is still there to be deleted again.
        if self._forget is not None:
            await self._forget(job_id)
        await self._jobs.delete(job_id)

    async def watch(self, job_id: str, after_sequence: int = 0) -> AsyncGenerator[JobEvent]:
        """Yield each event after a sequence once, in order, and end after the final one.

        Raises:
            NotFound: There is none.
            InvalidArgument: The job has no event of that sequence.
        """
        await self.job(job_id)
        async with aclosing(watch(self._jobs, job_id, after_sequence)) as events:
            async for event in events:
                yield event


def each(resource_of: Callable[[Job], T]) -> Callable[[Sequence[Job]], Awaitable[list[T]]]:
    """Return a `load` of resources that are known by their jobs alone."""

    async def load(jobs: Sequence[Job]) -> list[T]:
        return [resource_of(job) for job in jobs]

    return load
