"""What callers may ask of schedules and of their due times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from services.chassis.errors import AlreadyExists, FailedPrecondition, NotFound, ResourceExhausted
from services.chassis.jobs import rules
from services.chassis.machine.caller import current_workspace, in_workspace, refuse_beyond_quota
from services.chassis.wire import to_document
from services.chassis.wire.paging import LAST_PLACE, checked_page_size, page_of, place_of
from services.feedback.domain.identifiers import derived_id
from services.feedback.domain.schedules.schedule import (
    BrokenGoalAction,
    Schedule,
    ScheduleSpec,
    ScheduleSpent,
    ScheduleState,
)
from services.feedback.domain.schedules.scheduled_run import (
    PeriodRuns,
    ScheduledRun,
    ScheduledRunOutcome,
    ScheduledRunReport,
    run_by_hand,
)
from services.feedback.domain.spec import check, prompt_size_of
from services.feedback.ports.neighbours import Registry
from services.feedback.ports.stores import LoopStore, ScheduledJobs, ScheduledRunStore, ScheduleStore
from services.feedback.usecases.jobs import FeedbackUseCases, profile_of


@dataclass(frozen=True)
class ScheduleStanding:
    """A schedule with its newest due time, None before the first, and what it has spent."""

    schedule: Schedule
    last_run: ScheduledRun | None
    spent: ScheduleSpent


@dataclass(frozen=True)
class ScheduleParts:
    """Where schedules and what they name are kept."""

    schedules: ScheduleStore
    runs: ScheduledRunStore
    jobs: ScheduledJobs
    loops: LoopStore
    registry: Registry


class ScheduleUseCases:
    """Creates schedules, lists them and their due times, and runs them by hand."""

    def __init__(
        self,
        parts: ScheduleParts,
        usecases: FeedbackUseCases,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._parts = parts
        self._usecases = usecases
        self._now = now

    async def create(self, request_id: str, spec: ScheduleSpec) -> ScheduleStanding:
        """Store a schedule and return it; the same request id returns the same schedule.

        Raises:
            InvalidArgument: Timing, goals, budget or prompt size are wrong.
            NotFound: There is no such alias, version or suite.
            FailedPrecondition: The suite's profile is unknown here, or no loop can train on it.
            AlreadyExists: The request id was used with another spec.
        """
        spec.check()
        schedule_id, now = derived_id("schedule", request_id), self._now()
        if not request_id or await self._parts.schedules.get(schedule_id) is None:
            refuse_beyond_quota()
            spec = await self._checked(spec)
        # A spec that was not checked is that of an earlier request, which is what is stored.
        schedule = Schedule(schedule_id, spec, ScheduleState.ACTIVE, None, now, current_workspace.get())
        stored = await self._parts.schedules.add(replace(schedule, next_due_time=schedule.next_due(now)))
        if path := rules.first_difference(to_document(_as_sent(spec, stored.spec)), to_document(stored.spec), "spec"):
            raise AlreadyExists(
                f"The request id was used for the schedule {schedule_id} with another {path}.",
                "Use another request id for another schedule.",
                field=path,
            )
        return await self._standing(stored)

    async def get(self, schedule_id: str) -> ScheduleStanding:
        """Return a schedule.

        Raises:
            NotFound: There is none.
        """
        return await self._standing(await self._schedule(schedule_id))

    async def list(self, page_size: int, page_token: str) -> tuple[list[ScheduleStanding], str]:
        """Return a page of schedules, newest first, and the token of the next one."""
        size = checked_page_size(page_size)
        rows = await self._parts.schedules.list(place_of(page_token, LAST_PLACE), size + 1)
        page, token = page_of(rows, size, lambda row: row[0])
        return [await self._standing(schedule) for _, schedule in page], token

    async def pause(self, schedule_id: str) -> ScheduleStanding:
        """Keep no due times from now on.

        Raises:
            NotFound: There is none.
        """
        await self._schedule(schedule_id)
        await self._parts.schedules.set_state(schedule_id, ScheduleState.PAUSED, None)
        return await self.get(schedule_id)

    async def resume(self, schedule_id: str) -> ScheduleStanding:
        """Keep due times again, from the next one.

        Raises:
            NotFound: There is none.
        """
        schedule = await self._schedule(schedule_id)
        await self._parts.schedules.set_state(schedule_id, ScheduleState.ACTIVE, schedule.next_due(self._now()))
        return await self.get(schedule_id)

    async def delete(self, schedule_id: str) -> None:
        """Delete a schedule with its due times and their jobs.

        Raises:
            NotFound: There is none.
            FailedPrecondition: A run of it goes on.
        """
        await self._schedule(schedule_id)
        run_ids = await self._parts.schedules.delete(schedule_id)
        if run_ids is None:
            raise _goes_on(schedule_id)
        for run_id in run_ids:
            if await self._parts.jobs.find(run_id):
                await self._parts.jobs.delete(run_id)

    async def run_now(self, request_id: str, schedule_id: str) -> ScheduledRun:
        """Start a run by hand; the same request id returns the same run.

        Raises:
            NotFound: There is no such schedule.
            FailedPrecondition: A run of it goes on.
            ResourceExhausted: The budget is used up.
        """
        schedule, now = await self._schedule(schedule_id), self._now()
        run = run_by_hand(schedule_id, request_id, now)
        if earlier := await self._parts.runs.get(run.scheduled_run_id):
            return await self._shown(earlier)
        refuse_beyond_quota()
        since = schedule.period_start(now)
        costs = await self._parts.loops.spent((await self._parts.runs.period(schedule_id, since)).loop_ids)

        def decide(runs: PeriodRuns) -> ScheduledRun:
            decided = schedule.decided(run, runs, costs)
            if decided.outcome is ScheduledRunOutcome.OVERRUN:
                raise _goes_on(schedule_id)
            if decided.outcome is ScheduledRunOutcome.OUT_OF_BUDGET:
                raise ResourceExhausted(decided.sentence, "Wait, or create a schedule with a larger budget.")
            return decided

        await self._parts.runs.add(schedule, run.scheduled_run_id, decide, since, None)
        with in_workspace(schedule.workspace_id):
            await self._parts.jobs.begin(run.scheduled_run_id)
        return await self.get_run(run.scheduled_run_id)

    async def get_run(self, scheduled_run_id: str) -> ScheduledRun:
        """Return a due time.

        Raises:
            NotFound: There is none.
        """
        run = await self._parts.runs.get(scheduled_run_id)
        if run is None:
            raise NotFound(
                f"There is no scheduled run {scheduled_run_id[:100]!a}.",
                "List the runs of a schedule to see their ids.",
            )
        return await self._shown(run)

    async def cancel_run(self, scheduled_run_id: str) -> ScheduledRun:
        """Ask a run to end.

        Raises:
            NotFound: There is none.
            FailedPrecondition: It has ended.
        """
        run = await self.get_run(scheduled_run_id)
        if run.outcome is not None:
            raise FailedPrecondition(
                f"The run {scheduled_run_id} has ended: {run.sentence}", "Nothing is left to cancel."
            )
        with in_workspace(run.workspace_id):
            await self._parts.jobs.begin(scheduled_run_id)
        await self._parts.jobs.cancel(scheduled_run_id)
        return await self.get_run(scheduled_run_id)

    async def list_runs(self, schedule_id: str, page_size: int, page_token: str) -> tuple[Sequence[ScheduledRun], str]:
        """Return a page of the due times of a schedule, newest first, and the token of the next one.

        Raises:
            NotFound: There is no such schedule.
        """
        await self._schedule(schedule_id)
        size = checked_page_size(page_size)
        rows = await self._parts.runs.list(schedule_id, place_of(page_token, LAST_PLACE), size + 1)
        page, token = page_of(rows, size, lambda row: row[0])
        return [await self._shown(run) for _, run in page], token

    async def _checked(self, spec: ScheduleSpec) -> ScheduleSpec:
        """Return a spec with the prompt size that it means."""
        check(spec.loop_for(spec.model_version_id))
        version = await self._parts.registry.resolve_watched(spec.model_version_id)
        suite = await self._parts.registry.resolve_suite(spec.test_suite_version_id)
        sizes = profile_of(suite.profile_id).prompt_sizes
        spec = replace(spec, prompt_size=prompt_size_of(spec.prompt_size, sizes))
        await self._usecases.check_goals(spec.goals, suite)
        if spec.on_broken_goal is BrokenGoalAction.START_LOOP:
            await self._usecases.prepared_loop(spec.loop_for(version))
        return spec

    async def _schedule(self, schedule_id: str) -> Schedule:
        schedule = await self._parts.schedules.get(schedule_id)
        if schedule is None:
            raise NotFound(f"There is no schedule {schedule_id[:100]!a}.", "List the schedules to see their ids.")
        return schedule

    async def _standing(self, schedule: Schedule) -> ScheduleStanding:
        parts = self._parts
        newest = await parts.runs.list(schedule.schedule_id, LAST_PLACE, 1)
        runs = await parts.runs.period(schedule.schedule_id, schedule.period_start(self._now()))
        spent = schedule.spent(runs, await parts.loops.spent(runs.loop_ids))
        return ScheduleStanding(schedule, await self._shown(newest[0][1]) if newest else None, spent)

    async def _shown(self, run: ScheduledRun) -> ScheduledRun:
        """Return a run that goes on with what its job has made so far."""
        job = await self._parts.jobs.find(run.scheduled_run_id) if run.outcome is None else None
        if job is None:
            return run
        message = str(job.progress.get("message") or "It waits for its turn.")
        return replace(run, report=ScheduledRunReport.stored(job.saved), sentence=message)


def _goes_on(schedule_id: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"A run of the schedule {schedule_id} goes on.",
        f"Wait for its end, or cancel it: `drillyard schedules show {schedule_id}` names it.",
    )


def _as_sent(spec: ScheduleSpec, stored: ScheduleSpec) -> ScheduleSpec:
    """Return a request that is repeated as it was stored, with the prompt size that it meant then."""
    return replace(spec, prompt_size=spec.prompt_size or stored.prompt_size)
