"""Jobs in the service's database, SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy import Select, Text, and_, cast, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.chassis.database import Database, insert_if_absent, item_of, row_of
from services.chassis.database.lease import boot_seconds
from services.chassis.database.rows import utc
from services.chassis.errors import FailedPrecondition, NotFound
from services.chassis.jobs import rules
from services.chassis.jobs.job import (
    OWNED_STATES,
    STATE_EVENT,
    UNREADABLE,
    Job,
    JobError,
    JobEvent,
    JobState,
    Json,
    unreadable_job,
)
from services.chassis.jobs.requests import Ledger
from services.chassis.jobs.store import JobStore
from services.chassis.jobs.tables import JOB_EVENTS, JOBS, database_clock
from services.chassis.machine.garbage import Garbage, days_ago

_OWNED = sorted(str(state) for state in OWNED_STATES)
_FINAL = sorted(str(state) for state in JobState if state.is_final)
_LIVE = [*_OWNED, str(JobState.QUEUED)]
# They take the event loop for some 10 ms; between two lots it has a turn.
_EVENTS_AT_ONCE = 100
_log = structlog.get_logger()


class SqlJobStore(JobStore):
    """Jobs that survive their process.

    Leases run on the database's clock in PostgreSQL. SQLite has one machine and no clock of its own, so there it is
    `clock`, which after a restart of the machine starts again: its only owner ends all leases when it starts.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = boot_seconds) -> None:
        super().__init__()
        self._database = database
        self._clock = clock
        self._unreadable: set[str] = set()

    @property
    def num_unreadable(self) -> int:
        """How many jobs are not worked on, since this release cannot read them."""
        return len(self._unreadable)

    async def queued_since(self, kinds: Sequence[str]) -> dict[str, datetime]:
        """Return since when each kind has a job QUEUED. Both are named, so that an index leads past what has ended."""
        c = JOBS.c
        waiting = select(c.kind, func.min(c.update_time)).where(c.kind.in_(kinds), c.state == str(JobState.QUEUED))
        async with self._database.reading() as session:
            return {kind: utc(time) for kind, time in await session.execute(waiting.group_by(c.kind))}

    async def at_work_since(self) -> float:
        """Return when the oldest job that has not ended began, in seconds since 1970; now if there is none."""
        times = select(JOBS.c.start_time).where(JOBS.c.state.not_in(_FINAL), JOBS.c.start_time.is_not(None))
        async with self._database.reading() as session:
            time = (await session.execute(times.order_by(JOBS.c.start_time).limit(1))).scalar_one_or_none()
        return (utc(time) if time else datetime.now(UTC)).timestamp()

    async def old_events(self, before: datetime) -> list[tuple[str, int, int]]:
        """Return the jobs that ended before a time and have events other than of their states: id, events and bytes."""
        c = JOB_EVENTS.c
        query = (
            select(c.job_id, func.count(), func.sum(func.length(cast(c.payload, Text))))
            .join(JOBS, JOBS.c.job_id == c.job_id)
            .where(JOBS.c.state.in_(_FINAL), JOBS.c.end_time < before, c.type != STATE_EVENT)
            .group_by(c.job_id)
        )
        async with self._database.reading() as session:
            return [(job_id, num, int(size)) for job_id, num, size in await session.execute(query)]

    async def ended_since(self, time: datetime, without_kind: str = "", *, kind: str = "") -> list[Job]:
        """Return the jobs that have ended at a time or later, of one kind or of all but one, in that order."""
        c = JOBS.c
        of_kind = c.kind == kind if kind else c.kind != without_kind
        query = select(JOBS).where(c.state.in_(_FINAL), c.end_time >= time, of_kind).order_by(c.end_time)
        return await self._readable(query)

    async def quiet_since(self, time: datetime, without_kind: str) -> list[Job]:
        """Return the jobs, but of one kind, that somebody works on and that have told nothing since a time."""
        c = JOBS.c
        query = select(JOBS).where(c.state.in_(_OWNED), c.update_time < time, c.kind != without_kind)
        return await self._readable(query)

    async def _readable(self, query: Select[Any]) -> list[Job]:
        jobs: list[Job] = []
        async with self._database.reading() as session:
            for row in (await session.execute(query)).mappings():
                with suppress(*UNREADABLE):
                    jobs.append(_to_job(row))
        return jobs

    async def delete_events(self, job_id: str) -> None:
        """Delete the events of a job, those of its states excepted; nothing happens before it has ended."""
        of_job = JOB_EVENTS.c.job_id.in_(select(JOBS.c.job_id).where(JOBS.c.job_id == job_id, JOBS.c.state.in_(_FINAL)))
        async with self._database.session() as session:
            await session.execute(delete(JOB_EVENTS).where(of_job, JOB_EVENTS.c.type != STATE_EVENT))

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[Ledger]:
        async with self._database.session() as session:
            yield self._ledger(session, locking=True)

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[Ledger]:
        async with self._database.reading() as session:
            yield self._ledger(session, locking=False)

    def _ledger(self, session: AsyncSession, *, locking: bool) -> Ledger:
        # One SQLite transaction writes at a time, so its rows need no locks of their own.
        if self._database.is_sqlite:
            return _SqlLedger(session, self._unreadable, clock=self._clock, locking=False)
        return _SqlLedger(session, self._unreadable, clock=None, locking=locking)


async def event_garbage(store: SqlJobStore, days: float) -> AsyncIterator[Garbage]:
    """Yield the events of jobs that ended so many days ago, but those of their states."""
    old = await store.old_events(days_ago(days))

    async def remove() -> None:
        for job_id, _, _ in old:
            await store.delete_events(job_id)

    if old:
        name = f"{sum(num for _, num, _ in old)} of {len(old)} jobs"
        reason = f"the jobs ended {days:g} days ago; how their states changed stays"
        yield Garbage("event", name, sum(size for _, _, size in old), reason, remove)


async def fence(session: AsyncSession, job_id: str, epoch: int) -> Job:
    """Lock the job's row for the caller's transaction, so that what it writes counts only in this epoch.

    Raises:
        FailedPrecondition: The epoch has ended.
    """
    query = select(JOBS).where(JOBS.c.job_id == job_id).with_for_update()
    row = (await session.execute(query)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no job {job_id[:100]!r}.")
    job = _to_job(row)
    rules.check_epoch(job, epoch)
    return job


async def append_events(session: AsyncSession, job: Job, events: Sequence[tuple[str, Json]]) -> None:
    """Add events, of a type and a payload each, to the history of a job that the session has fenced.

    Whoever watches the job is told by its store's `announce_events`, once the session has ended.
    """
    now = datetime.now(UTC)
    for start in range(0, len(events), _EVENTS_AT_ONCE):
        rows: list[dict[str, Any]] = []
        for type_, payload in events[start : start + _EVENTS_AT_ONCE]:
            change = rules.told(job, now, type_, rules.plain_json(payload, "payload"))
            job = change.job
            rows += map(asdict, change.events)
        await session.execute(insert(JOB_EVENTS), rows)
    if events:
        row = {"last_sequence": job.last_sequence, "update_time": job.update_time}
        await session.execute(update(JOBS).where(JOBS.c.job_id == job.job_id).values(row))


class _SqlLedger:
    def __init__(
        self, session: AsyncSession, unreadable: set[str], *, clock: Callable[[], float] | None, locking: bool
    ) -> None:
        self._session = session
        self._unreadable = unreadable
        self._clock = clock
        self._locking = locking

    async def now(self) -> datetime:
        return datetime.now(UTC)

    async def lease_clock(self) -> float:
        if self._clock is not None:
            return self._clock()
        return await database_clock(self._session)

    async def load(self, job_id: str) -> Job | None:
        return await self._one(select(JOBS).where(JOBS.c.job_id == job_id))

    async def find(self, kind: str, request_id: str) -> Job | None:
        return await self._one(select(JOBS).where(JOBS.c.kind == kind, JOBS.c.request_id == request_id))

    async def insert(self, job: Job) -> bool:
        return await insert_if_absent(self._session, JOBS, _to_row(job))

    async def save(self, job: Job, events: Sequence[JobEvent]) -> None:
        await self._session.execute(update(JOBS).where(JOBS.c.job_id == job.job_id).values(_to_row(job)))
        if events:
            await self._session.execute(insert(JOB_EVENTS), [asdict(event) for event in events])

    async def next_claimable(self, kinds: Sequence[str], clock: float, *, excluding: Collection[str]) -> Job | None:
        c = JOBS.c
        lapsed = and_(c.state.in_(_OWNED), or_(c.lease_until.is_(None), c.lease_until <= clock))
        # Named once more, the states make the database look at what has not ended alone.
        wanted = [c.kind.in_(kinds), c.state.in_(_LIVE), or_(c.state == str(JobState.QUEUED), lapsed)]
        while True:
            free = select(c.job_id).where(*wanted, c.job_id.not_in([*excluding, *self._unreadable]))
            oldest = free.order_by(c.ordinal).limit(1)
            if self._locking:
                oldest = oldest.with_for_update(skip_locked=True)
            job_id = (await self._session.execute(oldest)).scalar_one_or_none()
            if job_id is None:
                return None
            try:
                return await self.load(job_id)
            except FailedPrecondition as error:
                _log.error("job_set_aside", job_id=job_id, reason=str(error))
                self._unreadable.add(job_id)

    async def end_leases(self, kinds: Sequence[str]) -> int:
        owned = update(JOBS).where(JOBS.c.kind.in_(kinds), JOBS.c.state.in_(_OWNED))
        ended = await self._session.execute(
            owned.values(lease_until=None, lease_expire_time=None).returning(JOBS.c.ordinal)
        )
        return len(ended.all())

    async def page(self, kind: str, before: int, size: int) -> list[Job]:
        of_kind = select(JOBS).where(JOBS.c.kind == kind, JOBS.c.ordinal < before)
        wanted = of_kind.order_by(JOBS.c.ordinal.desc()).limit(size)
        try:
            return [_to_job(row) for row in (await self._session.execute(wanted)).mappings()]
        except UNREADABLE:
            keys = (await self._session.execute(wanted.with_only_columns(JOBS.c.ordinal, JOBS.c.job_id))).all()
            return [await self._shown(kind, job_id, ordinal) for ordinal, job_id in keys]

    async def _shown(self, kind: str, job_id: str, ordinal: int) -> Job:
        try:
            job = await self.load(job_id)
        except FailedPrecondition as error:
            return unreadable_job(job_id, kind, ordinal, error)
        assert job is not None
        return job

    async def events(self, job_id: str, after_sequence: int, limit: int) -> list[JobEvent]:
        query = (
            select(JOB_EVENTS)
            .where(JOB_EVENTS.c.job_id == job_id, JOB_EVENTS.c.sequence > after_sequence)
            .order_by(JOB_EVENTS.c.sequence)
            .limit(limit)
        )
        rows = (await self._session.execute(query)).mappings()
        return [item_of(JobEvent, row) for row in rows]

    async def count(self) -> dict[tuple[str, str], int]:
        rows = await self._session.execute(select(JOBS.c.kind, JOBS.c.state, func.count()).group_by("kind", "state"))
        return {(kind, state): count for kind, state, count in rows}

    async def delete(self, job_id: str) -> None:
        for table in (JOB_EVENTS, JOBS):
            await self._session.execute(delete(table).where(table.c.job_id == job_id))

    async def _one(self, query: Select[Any]) -> Job | None:
        if self._locking:
            query = query.with_for_update()
        try:
            row = (await self._session.execute(query)).mappings().one_or_none()
            return None if row is None else _to_job(row)
        except UNREADABLE as error:
            raise FailedPrecondition(
                f"This release cannot read what is stored of the job: {type(error).__name__}: {error}.",
                "Use the release that stored it; if that cannot either, the database is damaged.",
            ) from error


def _to_row(job: Job) -> dict[str, Any]:
    row = row_of(job, JOBS, error=None if job.error is None else asdict(job.error))
    # The database numbers the jobs.
    del row["ordinal"]
    return row


def _to_job(row: Mapping[Any, Any]) -> Job:
    error = row["error"]
    # A later release may say more of an error.
    known = error and {field.name: error[field.name] for field in fields(JobError) if field.name in error}
    job = item_of(Job, row, error=JobError(**known) if known else None)
    for name in ("spec", "progress", "furthest"):
        if not isinstance(getattr(job, name), dict):
            raise TypeError(f"its {name} is no JSON object")
    return job
