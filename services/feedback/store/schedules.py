"""Schedules and their due times in the service's database, SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import case, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.chassis.database import Database, insert_if_absent, item_of, row_of
from services.chassis.database.lease import durable
from services.chassis.errors import NotFound
from services.chassis.jobs import Job, JobStore
from services.chassis.wire import from_document, to_document
from services.feedback.domain.schedules.schedule import Schedule, ScheduleSpec, ScheduleState
from services.feedback.domain.schedules.scheduled_run import (
    MEASURED,
    NOT_BEGUN,
    SCHEDULED_RUN_KIND,
    Decide,
    PeriodRuns,
    ScheduledRun,
    ScheduledRunOutcome,
    ScheduledRunReport,
)
from services.feedback.store.tables import SCHEDULED_RUNS, SCHEDULES


@durable
class SqlScheduleStore:
    """Schedules."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, schedule: Schedule) -> Schedule:
        """Store a schedule, or return the one that is stored under its id."""
        row = row_of(schedule, SCHEDULES, spec=to_document(schedule.spec), last_outcome="")
        async with self._database.session() as session:
            await insert_if_absent(session, SCHEDULES, row)
            return await _schedule(session, schedule.schedule_id) or schedule

    async def get(self, schedule_id: str) -> Schedule | None:
        """Return a schedule, or None."""
        async with self._database.reading() as session:
            return await _schedule(session, schedule_id)

    async def list(self, before: int, limit: int) -> Sequence[tuple[int, Schedule]]:
        """Return up to `limit` schedules below the ordinal `before`, newest first, each with its ordinal."""
        query = select(SCHEDULES).where(SCHEDULES.c.ordinal < before).order_by(SCHEDULES.c.ordinal.desc()).limit(limit)
        async with self._database.reading() as session:
            rows = (await session.execute(query)).mappings().all()
        return [(row["ordinal"], _schedule_of(row)) for row in rows]

    async def active(self) -> Sequence[Schedule]:
        """Return all whose due times are kept."""
        query = select(SCHEDULES).where(SCHEDULES.c.state == str(ScheduleState.ACTIVE))
        async with self._database.reading() as session:
            return [_schedule_of(row) for row in (await session.execute(query)).mappings()]

    async def set_state(self, schedule_id: str, state: ScheduleState, next_due_time: datetime | None) -> None:
        """Keep due times from a time on, or none; nothing changes where the state is that already."""
        change = update(SCHEDULES).where(SCHEDULES.c.schedule_id == schedule_id, SCHEDULES.c.state != str(state))
        async with self._database.session() as session:
            await session.execute(change.values(state=str(state), next_due_time=next_due_time))

    async def move_due(self, schedule_id: str, expected: datetime, next_due_time: datetime) -> None:
        """Set the next due time, unless it is no longer the expected one."""
        is_expected = (SCHEDULES.c.schedule_id == schedule_id, SCHEDULES.c.next_due_time == expected)
        async with self._database.session() as session:
            await session.execute(update(SCHEDULES).where(*is_expected).values(next_due_time=next_due_time))

    async def delete(self, schedule_id: str) -> Sequence[str] | None:
        """Delete a schedule and its runs and return their ids; None, and nothing is deleted, while one goes on."""
        async with self._database.session() as session:
            await _schedule(session, schedule_id, is_locked=True)
            runs = await _runs(session, SCHEDULED_RUNS.c.schedule_id == schedule_id)
            if any(run.outcome is None for run in runs):
                return None
            await session.execute(delete(SCHEDULED_RUNS).where(SCHEDULED_RUNS.c.schedule_id == schedule_id))
            await session.execute(delete(SCHEDULES).where(SCHEDULES.c.schedule_id == schedule_id))
        return [run.scheduled_run_id for run in runs]

    async def count_outcomes(self) -> Mapping[str, int]:
        """Return how many of the schedules whose due times are kept have ended their newest one in which way."""
        c = SCHEDULES.c
        query = (
            select(c.last_outcome, func.count()).where(c.state == str(ScheduleState.ACTIVE)).group_by(c.last_outcome)
        )
        async with self._database.reading() as session:
            return {str(row[0]): int(row[1]) for row in await session.execute(query)}


@durable
class SqlScheduledRunStore:
    """Due times of schedules; one run of a schedule goes on at a time: the schedule's row is their lock."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self, schedule: Schedule, run_id: str, decide: Decide, since: datetime, next_due_time: datetime | None
    ) -> bool:
        """Store the run of a due time and set the next one, in one step; False where it is late.

        Args:
            schedule: As it was read.
            run_id: The run's id; of a request that is sent again, it may be stored already.
            decide: Makes the run; what it gets cannot change until it is stored.
            since: When the period of the budget began.
            next_due_time: None leaves the due times as they are: a person asked for the run.
        """
        async with self._database.session() as session:
            current = await _schedule(session, schedule.schedule_id, is_locked=True)
            is_late = current is None or (next_due_time and current.next_due_time != schedule.next_due_time)
            if is_late:
                return False
            run = decide(await _period(session, schedule.schedule_id, since, run_id))
            row = row_of(run, SCHEDULED_RUNS, report=to_document(run.report), workspace_id=schedule.workspace_id)
            is_new = await insert_if_absent(session, SCHEDULED_RUNS, row)
            values: dict[str, Any] = {"next_due_time": next_due_time} if next_due_time else {}
            if is_new and run.outcome:
                values["last_outcome"] = str(run.outcome)
            if values:
                await session.execute(_of(schedule.schedule_id).values(**values))
        return is_new

    async def get(self, scheduled_run_id: str) -> ScheduledRun | None:
        """Return a run, or None."""
        async with self._database.reading() as session:
            return next(iter(await _runs(session, SCHEDULED_RUNS.c.scheduled_run_id == scheduled_run_id)), None)

    async def list(self, schedule_id: str, before: int, limit: int) -> Sequence[tuple[int, ScheduledRun]]:
        """Return up to `limit` runs below the ordinal `before`, newest first, each with its ordinal."""
        c = SCHEDULED_RUNS.c
        query = select(SCHEDULED_RUNS).where(c.schedule_id == schedule_id, c.ordinal < before)
        async with self._database.reading() as session:
            rows = (await session.execute(query.order_by(c.ordinal.desc()).limit(limit))).mappings().all()
        return [(row["ordinal"], _run_of(row)) for row in rows]

    async def going_on(self) -> Sequence[ScheduledRun]:
        """Return all runs of all schedules that have not ended."""
        async with self._database.reading() as session:
            return await _runs(session, SCHEDULED_RUNS.c.outcome.is_(None))

    async def period(self, schedule_id: str, since: datetime, *, without_id: str = "") -> PeriodRuns:
        """Return the runs of a schedule together that were due since a time, or go on, one of them left out."""
        async with self._database.reading() as session:
            return await _period(session, schedule_id, since, without_id)

    async def baseline(self, schedule_id: str, test_suite_version_id: str) -> ScheduledRun | None:
        """Return the last run on a suite version that met all goals, else the first that measured, or None."""
        c = SCHEDULED_RUNS.c
        is_good = c.outcome == str(ScheduledRunOutcome.MET)
        query = (
            select(SCHEDULED_RUNS)
            .where(
                c.schedule_id == schedule_id,
                c.outcome.in_([str(outcome) for outcome in MEASURED]),
                c.report["test_suite_version_id"].as_string() == test_suite_version_id,
            )
            .order_by(case((is_good, 0), else_=1), case((is_good, -c.ordinal), else_=c.ordinal))
            .limit(1)
        )
        async with self._database.reading() as session:
            row = (await session.execute(query)).mappings().one_or_none()
        return _run_of(row) if row is not None else None

    async def end(self, run: ScheduledRun) -> bool:
        """Store how a run ended; False where it had ended before."""
        c = SCHEDULED_RUNS.c
        change = update(SCHEDULED_RUNS).where(c.scheduled_run_id == run.scheduled_run_id, c.outcome.is_(None))
        values = {"outcome": str(run.outcome), "sentence": run.sentence, "report": to_document(run.report)}
        async with self._database.session() as session:
            has_ended = (await session.execute(change.values(**values).returning(c.ordinal))).first() is not None
            if has_ended:
                await session.execute(_of(run.schedule_id).values(last_outcome=str(run.outcome)))
        return has_ended


class ScheduledRunJobs:
    """The durable jobs that do the runs; a job has the id of its run."""

    def __init__(self, jobs: JobStore) -> None:
        self._jobs = jobs

    async def begin(self, scheduled_run_id: str) -> Job:
        """Return a run's job as it stands, made where there is none."""
        return await self._jobs.create(SCHEDULED_RUN_KIND, scheduled_run_id, {}, job_id=scheduled_run_id)

    async def find(self, scheduled_run_id: str) -> Job | None:
        """Return a run's job, or None."""
        try:
            return await self._jobs.get(scheduled_run_id)
        except NotFound:
            return None

    async def cancel(self, scheduled_run_id: str) -> Job:
        """Ask a run's job to end.

        Raises:
            FailedPrecondition: It has ended.
        """
        return await self._jobs.request_cancel(scheduled_run_id)

    async def delete(self, scheduled_run_id: str) -> None:
        """Remove the job of a run that has ended."""
        await self._jobs.delete(scheduled_run_id)


def _of(schedule_id: str) -> Any:
    return update(SCHEDULES).where(SCHEDULES.c.schedule_id == schedule_id)


async def _period(session: AsyncSession, schedule_id: str, since: datetime, without_id: str) -> PeriodRuns:
    c = SCHEDULED_RUNS.c
    is_in_it = or_(c.due_time >= since, c.outcome.is_(None))
    wanted = (c.schedule_id == schedule_id, is_in_it, c.scheduled_run_id != without_id)
    has_begun = or_(c.outcome.is_(None), c.outcome.not_in([str(outcome) for outcome in NOT_BEGUN]))
    sums = select(
        func.count(case((has_begun, 1))),
        func.coalesce(func.sum(c.report["machine_seconds"].as_float()), 0.0),
        func.min(case((c.outcome.is_(None), c.scheduled_run_id))),
    )
    num_begun, machine_seconds, going_on_id = (await session.execute(sums.where(*wanted))).one()
    loop_id = c.report["loop_id"].as_string()
    loops = await session.execute(select(loop_id).where(*wanted, loop_id != "").order_by(c.ordinal))
    return PeriodRuns(num_begun, machine_seconds, tuple(loops.scalars()), going_on_id or "")


async def _schedule(session: AsyncSession, schedule_id: str, *, is_locked: bool = False) -> Schedule | None:
    query = select(SCHEDULES).where(SCHEDULES.c.schedule_id == schedule_id)
    row = (await session.execute(query.with_for_update() if is_locked else query)).mappings().one_or_none()
    return _schedule_of(row) if row is not None else None


async def _runs(session: AsyncSession, *conditions: Any) -> list[ScheduledRun]:
    query = select(SCHEDULED_RUNS).where(*conditions).order_by(SCHEDULED_RUNS.c.ordinal)
    return [_run_of(row) for row in (await session.execute(query)).mappings()]


def _schedule_of(row: Mapping[Any, Any]) -> Schedule:
    return item_of(Schedule, row, spec=from_document(ScheduleSpec, row["spec"]))


def _run_of(row: Mapping[Any, Any]) -> ScheduledRun:
    return item_of(ScheduledRun, row, report=from_document(ScheduledRunReport, row["report"]))
