"""What schedules need from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeAlias

from services.chassis.jobs import Job
from services.feedback.domain.goals import Goal
from services.feedback.domain.loop import Loop
from services.feedback.domain.schedules.schedule import Schedule, ScheduleState
from services.feedback.domain.schedules.scheduled_run import PeriodRuns, ScheduledRun
from services.feedback.domain.spec import LoopSpec
from services.feedback.domain.work import SuiteVersion

Decide: TypeAlias = Callable[[PeriodRuns], ScheduledRun]
"""Returns a due time's run as it begins or ends, by the others of its period."""


class ScheduleStore(Protocol):
    """Schedules."""

    async def add(self, schedule: Schedule) -> Schedule:
        """Store a schedule, or return the one that is stored under its id."""
        ...

    async def get(self, schedule_id: str) -> Schedule | None:
        """Return a schedule, or None."""
        ...

    async def list(self, before: int, limit: int) -> Sequence[tuple[int, Schedule]]:
        """Return up to `limit` schedules below the ordinal `before`, newest first, each with its ordinal."""
        ...

    async def active(self) -> Sequence[Schedule]:
        """Return all whose due times are kept."""
        ...

    async def set_state(self, schedule_id: str, state: ScheduleState, next_due_time: datetime | None) -> None:
        """Keep due times from a time on, or none; nothing changes where the state is that already."""
        ...

    async def move_due(self, schedule_id: str, expected: datetime, next_due_time: datetime) -> None:
        """Set the next due time, unless it is no longer the expected one."""
        ...

    async def delete(self, schedule_id: str) -> Sequence[str] | None:
        """Delete a schedule and its runs and return their ids; None, and nothing is deleted, while one goes on."""
        ...

    async def count_outcomes(self) -> Mapping[str, int]:
        """Return how many of the schedules whose due times are kept have ended their newest one in which way."""
        ...


class ScheduledRunStore(Protocol):
    """Due times of schedules; one run of a schedule goes on at a time."""

    async def add(
        self, schedule: Schedule, run_id: str, decide: Decide, since: datetime, next_due_time: datetime | None
    ) -> bool:
        """Store the run of a due time and set the next one, in one step; False where it is late.

        Nothing is stored where another process kept the due time, or a person paused the schedule.

        Args:
            schedule: As it was read.
            run_id: The run's id; of a request that is sent again, it may be stored already.
            decide: Makes the run; what it gets cannot change until it is stored.
            since: When the period of the budget began.
            next_due_time: None leaves the due times as they are: a person asked for the run.
        """
        ...

    async def get(self, scheduled_run_id: str) -> ScheduledRun | None:
        """Return a run, or None."""
        ...

    async def list(self, schedule_id: str, before: int, limit: int) -> Sequence[tuple[int, ScheduledRun]]:
        """Return up to `limit` runs below the ordinal `before`, newest first, each with its ordinal."""
        ...

    async def going_on(self) -> Sequence[ScheduledRun]:
        """Return all runs of all schedules that have not ended."""
        ...

    async def period(self, schedule_id: str, since: datetime, *, without_id: str = "") -> PeriodRuns:
        """Return the runs of a schedule together that were due since a time, or go on, one of them left out."""
        ...

    async def baseline(self, schedule_id: str, test_suite_version_id: str) -> ScheduledRun | None:
        """Return the last run on a suite version that met all goals, else the first that measured, or None."""
        ...

    async def end(self, run: ScheduledRun) -> bool:
        """Store how a run ended; False where it had ended before."""
        ...


class ScheduledJobs(Protocol):
    """The durable jobs that do the runs; a job has the id of its run."""

    async def begin(self, scheduled_run_id: str) -> Job:
        """Return a run's job as it stands, made where there is none."""
        ...

    async def find(self, scheduled_run_id: str) -> Job | None:
        """Return a run's job, or None."""
        ...

    async def cancel(self, scheduled_run_id: str) -> Job:
        """Ask a run's job to end.

        Raises:
            FailedPrecondition: It has ended.
        """
        ...

    async def delete(self, scheduled_run_id: str) -> None:
        """Remove the job of a run that has ended."""
        ...


class LoopStarter(Protocol):
    """Starts loops, and knows whether goals can be met."""

    async def create_loop(self, request_id: str, spec: LoopSpec) -> Loop:
        """Start a loop once per request id.

        Raises:
            ServiceError: There can be no such loop.
        """
        ...

    async def check_goals(self, goals: Sequence[Goal], suite: SuiteVersion) -> None:
        """Return when a version can meet goals on a suite.

        Raises:
            InvalidArgument: The suite lacks a slice, or has too few cases of it.
        """
        ...
