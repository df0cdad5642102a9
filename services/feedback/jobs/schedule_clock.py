"""Keeps the due times of schedules: each has one run, whatever is killed and however many processes look."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from services.chassis.errors import ServiceError
from services.chassis.jobs import Job
from services.chassis.machine.caller import in_workspace
from services.feedback.domain.schedules.schedule import Schedule
from services.feedback.domain.schedules.scheduled_run import (
    PeriodRuns,
    ScheduledRun,
    ScheduledRunOutcome,
    ended_run,
    run_due,
)
from services.feedback.ports.stores import LoopStore, ScheduledJobs, ScheduledRunStore, ScheduleStore

_TICK_SECONDS = 5.0
_log = structlog.get_logger()


class ScheduleClock:
    """Makes the run of each due time, gives it a job, and records how that ended.

    The run's id follows from schedule and due time, and is stored in one transaction with the next due time, so that of
    several processes one makes it. Its job has the same id, and is made again by the next look where a process died
    between the two.
    """

    def __init__(
        self,
        schedules: ScheduleStore,
        runs: ScheduledRunStore,
        jobs: ScheduledJobs,
        loops: LoopStore,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        tick_seconds: float = _TICK_SECONDS,
    ) -> None:
        """Keep what every look needs; `tick_seconds` is the time between two."""
        self._schedules = schedules
        self._runs = runs
        self._jobs = jobs
        self._loops = loops
        self._now = now
        self._tick_seconds = tick_seconds

    async def keep_time(self) -> None:
        """Look again and again, until it is cancelled."""
        while True:
            try:
                await self.look()
            except ServiceError as error:
                _log.warning("due_times_not_looked_at", reason=str(error))
            await asyncio.sleep(self._tick_seconds)

    async def look(self) -> None:
        """Make the runs that are due, and record which have ended."""
        for schedule in await self._schedules.active():
            await self._advance(schedule, self._now())
        for run in await self._runs.going_on():
            with in_workspace(run.workspace_id):
                job = await self._jobs.begin(run.scheduled_run_id)
            if job.is_final:
                await self._end(run, job)

    async def _advance(self, schedule: Schedule, now: datetime) -> None:
        due, following = schedule.next_due_time, schedule.next_due(now)
        if due is None:
            return
        if due > now:
            # The machine's clock was set back after it had been ahead: waiting for it to catch up may take years.
            if due > following:
                await self._schedules.move_due(schedule.schedule_id, due, following)
            return
        num_missed = schedule.spec.timing.num_due(schedule.create_time, due, now)
        run = run_due(schedule.schedule_id, due, num_missed)
        since = schedule.period_start(now)
        costs = await self._loops.spent((await self._runs.period(schedule.schedule_id, since)).loop_ids)

        def decide(runs: PeriodRuns) -> ScheduledRun:
            return schedule.decided(run, runs, costs)

        if await self._runs.add(schedule, run.scheduled_run_id, decide, since, following):
            _log.info("schedule_due", schedule_id=schedule.schedule_id, due_time=due.isoformat(), num_missed=num_missed)

    async def _end(self, run: ScheduledRun, job: Job) -> None:
        ended = ended_run(run, job)
        if await self._runs.end(ended):
            tell = _log.info if ended.outcome is ScheduledRunOutcome.MET else _log.warning
            tell(
                "scheduled_run_ended",
                schedule_id=run.schedule_id,
                scheduled_run_id=run.scheduled_run_id,
                outcome=str(ended.outcome),
                loop_id=ended.report.loop_id,
            )
