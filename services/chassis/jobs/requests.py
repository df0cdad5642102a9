"""What callers may ask about jobs, and the port to where jobs are kept; the rules are the same over every ledger."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol, TypeAlias

from services.chassis.database.lease import durable
from services.chassis.errors import AlreadyExists, InvalidArgument, NotFound
from services.chassis.jobs import rules
from services.chassis.jobs.bell import ENDED, QUEUE, Bell, Pace, events_of, requests_of
from services.chassis.jobs.job import STATE_EVENT, Job, JobEvent, JobState, Json, new_job
from services.chassis.machine.caller import refuse_beyond_quota
from services.chassis.telemetry import tracing
from services.chassis.wire.paging import LAST_PLACE, checked_page_size, page_of, place_of

MAX_REQUEST_ID = 200
# Of all jobs of this process together.
_REPORTS_A_SECOND = 20.0

Page: TypeAlias = tuple[list[Job], str]
Events: TypeAlias = list[JobEvent]
Move: TypeAlias = Callable[[Job, datetime], rules.Change]


class Ledger(Protocol):
    """One transaction over jobs and events; all of it is kept or none.

    What `load`, `find` and `next_claimable` return stays unchanged by others until the transaction ends.
    """

    async def now(self) -> datetime:
        """Return the wall clock, in UTC."""

    async def lease_clock(self) -> float:
        """Return seconds on a clock that all owners share and that setting the wall clock does not move."""

    async def load(self, job_id: str) -> Job | None:
        """Return the job, or None."""

    async def find(self, kind: str, request_id: str) -> Job | None:
        """Return the job that was created with this id, or None."""

    async def insert(self, job: Job) -> bool:
        """Store a new job and say True, or say False when its id or (kind, request_id) is taken."""

    async def save(self, job: Job, events: Sequence[JobEvent]) -> None:
        """Store the job's new values and append the events."""

    async def next_claimable(self, kinds: Sequence[str], clock: float, *, excluding: Collection[str]) -> Job | None:
        """Return the oldest job of `kinds` that is QUEUED, or owned with a lease that ended before `clock`.

        Those with the ids `excluding` are left out, and so are those that cannot be read.
        """

    async def end_leases(self, kinds: Sequence[str]) -> int:
        """End the leases of all jobs of `kinds` in an owned state, and return how many there are."""

    async def page(self, kind: str, before: int, size: int) -> list[Job]:
        """Return up to `size` jobs of `kind` with an ordinal below `before`, newest first."""

    async def events(self, job_id: str, after_sequence: int, limit: int) -> list[JobEvent]:
        """Return events in order."""

    async def count(self) -> dict[tuple[str, str], int]:
        """Return how many jobs there are per (kind, state)."""

    async def delete(self, job_id: str) -> None:
        """Remove the job and its events."""


@durable
class JobRequests(ABC):
    """What callers may ask about jobs. Every state change is one event, stored in the same transaction."""

    def __init__(self) -> None:
        self.bell = Bell()
        # A report of progress costs some 5 ms of the processor, with those who watch it more.
        self.pace_of_progress = Pace(_REPORTS_A_SECOND)

    @abstractmethod
    def _writing(self) -> AbstractAsyncContextManager[Ledger]:
        """Open a transaction that writes."""

    @abstractmethod
    def _reading(self) -> AbstractAsyncContextManager[Ledger]:
        """Open a transaction that only reads."""

    async def create(
        self,
        kind: str,
        request_id: str,
        spec: Json,
        *,
        job_id: str | None = None,
        rewrite: Callable[[Json], Json] = lambda earlier: earlier,
    ) -> Job:
        """Store a job and return it QUEUED; the same kind and request_id return the job of the first call.

        Args:
            kind: What it does.
            request_id: The caller's id of this request; empty means that the call is never repeated.
            spec: What to do, as JSON.
            job_id: Its id, when the caller has one for it; else a new one.
            rewrite: Returns the spec of an earlier job as this release would store it.

        Raises:
            AlreadyExists: The request_id was used with another spec, whose field is named, or the job_id is taken.
            InvalidArgument: The spec is not JSON, or the request_id is no plain short text.
            QuotaExceeded: The job would be new, and a quota of the caller's workspace is used up.
        """
        plain_spec = rules.plain_json(spec, "spec")
        _check_request_id(request_id)
        chosen_id = job_id or uuid.uuid4().hex
        async with self._writing() as ledger:
            job = new_job(chosen_id, kind, request_id, plain_spec, await ledger.now())
            created = rules.told(
                job, job.create_time, STATE_EVENT, {"state": str(JobState.QUEUED), **tracing.carried()}
            )
            existing = await ledger.find(kind, job.request_id)
            fresh = None if existing else await _inserted(ledger, created)
            if fresh is None:
                existing = existing or await ledger.find(kind, job.request_id)
        if fresh is None:
            return _same_request(existing, plain_spec, chosen_id, rewrite)
        self.bell.ring(QUEUE, events_of(chosen_id))
        return fresh

    async def delete(self, job_id: str) -> None:
        """Remove a job that has ended, and its history; its request_id then makes a new job.

        Raises:
            NotFound: There is none.
            FailedPrecondition: It has not ended.
        """
        async with self._writing() as ledger:
            rules.check_ended(found_job(await ledger.load(job_id), job_id))
            await ledger.delete(job_id)

    async def get(self, job_id: str) -> Job:
        """Return the job.

        Raises:
            NotFound: There is none.
        """
        async with self._reading() as ledger:
            return found_job(await ledger.load(job_id), job_id)

    async def list(self, kind: str, page_size: int = 0, page_token: str = "") -> Page:
        """Return jobs of `kind`, newest first, and the token of the next page (empty: there is none).

        Raises:
            InvalidArgument: The page size is not 0 to 1000, or the token is not one of ours.
        """
        size, before = checked_page_size(page_size), place_of(page_token, LAST_PLACE)
        async with self._reading() as ledger:
            jobs = await ledger.page(kind, before, size + 1)
        return page_of(jobs, size, lambda job: job.ordinal)

    async def events(self, job_id: str, after_sequence: int = 0, limit: int = 500) -> Events:
        """Return up to `limit` events with a sequence above `after_sequence`, in order.

        Raises:
            NotFound: There is no such job.
        """
        async with self._reading() as ledger:
            found_job(await ledger.load(job_id), job_id)
            return await ledger.events(job_id, after_sequence, limit)

    async def count(self) -> dict[tuple[str, str], int]:
        """Return how many jobs there are per (kind, state)."""
        async with self._reading() as ledger:
            return await ledger.count()

    @abstractmethod
    async def queued_since(self, kinds: Sequence[str]) -> dict[str, datetime]:
        """Return when the job that has been QUEUED for longest became so, per kind of `kinds` that has one."""

    async def request_cancel(self, job_id: str) -> Job:
        """Cancel a job that waits, or ask its owner to end it (CANCELLING); a second request changes nothing.

        Raises:
            FailedPrecondition: The job SUCCEEDED or FAILED.
        """
        return await self._move(job_id, rules.cancel_requested)

    async def request_pause(self, job_id: str) -> Job:
        """Pause a job that waits, or ask its owner to save and stop (PAUSING); a second request changes nothing.

        Raises:
            FailedPrecondition: The job has ended or is being cancelled.
        """
        return await self._move(job_id, rules.pause_requested)

    async def resume(self, job_id: str) -> Job:
        """Queue a PAUSED job again; for one that is queued or running nothing changes.

        Raises:
            FailedPrecondition: The job is in another state.
            QuotaExceeded: It is PAUSED, and a quota of the caller's workspace is used up.
        """
        return await self._move(job_id, rules.resumed)

    async def _move(self, job_id: str, move: Move, *, epoch: int | None = None) -> Job:
        async with self._writing() as ledger:
            job = found_job(await ledger.load(job_id), job_id)
            if epoch is not None:
                rules.check_epoch(job, epoch)
            change = move(job, await ledger.now())
            if change.job is not job:
                await ledger.save(change.job, change.events)
        self._announce(change)
        return change.job

    def _announce(self, change: rules.Change) -> None:
        if not change.events:
            return
        self.bell.ring(events_of(change.job.job_id))
        if all(event.type != STATE_EVENT for event in change.events):
            return
        if change.job.state in (JobState.CANCELLING, JobState.PAUSING):
            self.bell.ring(requests_of(change.job.job_id))
        if change.job.state is JobState.QUEUED:
            self.bell.ring(QUEUE)
        if change.job.is_final:
            self.bell.ring(ENDED)


def found_job(job: Job | None, job_id: str) -> Job:
    """Return the job that a ledger gave.

    Raises:
        NotFound: It gave none.
    """
    if job is None:
        raise NotFound(f"There is no job {job_id[:100]!r}.", "List the jobs to see their ids.")
    return job


def _check_request_id(request_id: str) -> None:
    if len(request_id) > MAX_REQUEST_ID or not request_id.isprintable():
        raise InvalidArgument(
            "The request id is too long or holds control characters.",
            f"Use up to {MAX_REQUEST_ID} printable characters, such as a UUID.",
            field="request_id",
        )


async def _inserted(ledger: Ledger, created: rules.Change) -> Job | None:
    refuse_beyond_quota()
    if not await ledger.insert(created.job):
        return None
    await ledger.save(created.job, created.events)
    return await ledger.load(created.job.job_id)


def _same_request(known: Job | None, spec: Json, job_id: str, rewrite: Callable[[Json], Json]) -> Job:
    if known is None:
        raise AlreadyExists(f"The id {job_id} is taken.", "Choose another id.", field="job_id")
    place = rules.first_difference(rules.plain_json(rewrite(known.spec), "spec"), spec)
    if place:
        raise AlreadyExists(
            f"The request id {known.request_id} was used before with another {place}.",
            "Use a new request id for a new request.",
            field=place,
        )
    return known
