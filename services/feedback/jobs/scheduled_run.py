"""A due time of a schedule: the version that is watched answers the suite, is judged, and is held against before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from services.chassis.errors import FailedPrecondition, NotFound, ServiceError
from services.chassis.jobs import JobContext, Json
from services.chassis.waiting import patiently
from services.chassis.wire import to_document
from services.feedback.domain.goals import readings_of
from services.feedback.domain.schedules.schedule import BrokenGoalAction, Schedule, loops_used_up
from services.feedback.domain.schedules.scheduled_run import (
    ScheduledRun,
    ScheduledRunPhase,
    ScheduledRunReport,
    compared_metric,
    results_of,
    with_change,
)
from services.feedback.domain.work import TestOrder, WorkProgress, seconds_of_test
from services.feedback.jobs.loop import cancel_work
from services.feedback.jobs.steps import Services
from services.feedback.jobs.waiting import uninterrupted, until_ended
from services.feedback.ports.neighbours import Work
from services.feedback.ports.stores import LoopStore, ScheduledRunStore, ScheduleStore
from services.feedback.usecases.jobs import FeedbackUseCases
from services.protocols.verdict import UNANSWERED

_REGISTRY = "the registry"
_SEED = 1


class ScheduledRunJob:
    """Does jobs of kind "scheduled_run", whose id is that of the run.

    The id of everything that is started follows from the run and is recorded before it is waited for, so a run that was
    killed anywhere goes on without doing anything twice.
    """

    def __init__(
        self,
        services: Services,
        *,
        schedules: ScheduleStore,
        runs: ScheduledRunStore,
        loops: LoopStore,
        starter: FeedbackUseCases,
    ) -> None:
        self._services = services
        self._schedules = schedules
        self._runs = runs
        self._loops = loops
        self._starter = starter

    async def run(self, context: JobContext) -> Json:
        """Return the report of the run.

        Raises:
            ServiceError: The version or the suite is gone, or the run or its evaluation failed.
        """
        try:
            return await self._report(context)
        except asyncio.CancelledError:
            if context.cancel_requested:
                await self.clean_up(context)
            raise

    async def _report(self, context: JobContext) -> Json:
        schedule, run = await self._subject(context.job.job_id)
        record = _Record(context)
        if not record.report.model_version_id:
            await record.keep(**await self._versions_now(schedule))
        try:
            await self._test(schedule, record)
        except ServiceError:
            # What failed has cost its time all the same.
            await self._count_time(record)
            raise
        await self._count_time(record)
        await self._measure(schedule, record)
        if not record.report.is_met and schedule.spec.on_broken_goal is BrokenGoalAction.START_LOOP:
            await self._start_loop(schedule, run, record)
        return to_document(record.report)

    async def clean_up(self, context: JobContext) -> Json:
        """Cancel the test run and the evaluation that go on; a loop that was started goes on by itself."""
        for work, work_id in self._started(ScheduledRunReport.stored(context.saved)):
            await cancel_work(work, work_id)
        return {}

    def _started(self, report: ScheduledRunReport) -> list[tuple[Work, str]]:
        services = self._services
        works: list[tuple[Work, str]] = [
            (services.evaluator, report.evaluation_id),
            (services.test_runner, report.test_run_id),
        ]
        return [(work, work_id) for work, work_id in works if work_id]

    async def _count_time(self, record: _Record) -> None:
        states = [await work.state(work_id) for work, work_id in reversed(self._started(record.report))]
        if states:
            run, *evaluation = states
            await record.keep(machine_seconds=seconds_of_test(run, next(iter(evaluation), None)))

    async def _subject(self, scheduled_run_id: str) -> tuple[Schedule, ScheduledRun]:
        run = await self._runs.get(scheduled_run_id)
        schedule = await self._schedules.get(run.schedule_id) if run else None
        if run is None or schedule is None:
            raise NotFound(f"The schedule of the run {scheduled_run_id} is deleted.", "Create it again to go on.")
        return schedule, run

    async def _versions_now(self, schedule: Schedule) -> dict[str, str]:
        spec, registry = schedule.spec, self._services.registry
        version = await patiently(lambda: registry.resolve_watched(spec.model_version_id), _REGISTRY)
        suite = await patiently(lambda: registry.resolve_suite(spec.test_suite_version_id), _REGISTRY)
        # A newer version of the suite may lack what a goal is on, which would read as a goal that is missed.
        await self._starter.check_goals(spec.goals, suite)
        return {"model_version_id": version, "test_suite_version_id": suite.test_suite_version_id}

    async def _test(self, schedule: Schedule, record: _Record) -> None:
        """Have the suite answered and judged."""
        test_runner, evaluator = self._services.test_runner, self._services.evaluator
        spec, report = schedule.spec, record.report
        order = TestOrder(
            model_version_id=report.model_version_id,
            test_suite_version_id=report.test_suite_version_id,
            prompt_size=spec.prompt_size,
            max_new_tokens=spec.max_new_tokens,
            seed=_SEED,
        )
        run_id = await record.started("test_run_id", lambda request: test_runner.start(request, order))
        evaluation_id = await record.started("evaluation_id", lambda request: evaluator.start(request, run_id))
        await until_ended(test_runner, run_id, "test run", partial(record.tell, ScheduledRunPhase.TEST))
        if await test_runner.is_incomplete(run_id):
            raise FailedPrecondition(
                f"The test run {run_id} has too few answers to decide on.",
                f"Mend what `drillyard test-runs transcripts {run_id} --cause {UNANSWERED}` names.",
            )
        await until_ended(evaluator, evaluation_id, "evaluation", partial(record.tell, ScheduledRunPhase.EVALUATE))

    async def _measure(self, schedule: Schedule, record: _Record) -> None:
        """Read what was reached, and compare it with the last good run, case by case."""
        evaluator, goals = self._services.evaluator, schedule.spec.goals
        report = record.report
        if report.goal_readings:
            return
        readings = readings_of(goals, await evaluator.readings(report.evaluation_id))
        report = replace(report, goal_readings=results_of(goals, readings))
        baseline = await self._runs.baseline(schedule.schedule_id, report.test_suite_version_id)
        if baseline is not None:
            metric = compared_metric(goals)
            # Without the evaluation of before, which a person may delete, the goals still count.
            with suppress(NotFound):
                change = await evaluator.change(baseline.report.evaluation_id, report.evaluation_id, metric)
                report = with_change(report, baseline, metric, change)
        await record.store(report)

    async def _start_loop(self, schedule: Schedule, run: ScheduledRun, record: _Record) -> None:
        """Start the loop that a missed goal asks for, or say why there is none."""
        request_id = f"{run.scheduled_run_id}/loop"
        loop = await self._loops.find(request_id)
        if loop is None:
            since, own = schedule.period_start(run.due_time), record.report.machine_seconds
            others = await self._runs.period(schedule.schedule_id, since, without_id=run.scheduled_run_id)
            runs = replace(others, num_begun=others.num_begun + 1, machine_seconds=others.machine_seconds + own)
            spent = schedule.spent(runs, await self._loops.spent(runs.loop_ids))
            reason = loops_used_up(schedule.spec.budget, spent) or await self._loop_that_goes_on(runs.loop_ids)
            if reason:
                await record.keep(loop_sentence=f"No loop was started: {reason}.")
                return
            spec = schedule.bounded_loop(record.report.model_version_id, spent)
            try:
                loop = await patiently(lambda: self._starter.create_loop(request_id, spec), _REGISTRY)
            except ServiceError as error:
                await record.keep(loop_sentence=f"No loop could be started: {error.problem} {error.next_step}")
                return
        await record.keep(loop_id=loop.loop_id, loop_sentence=f"The loop {loop.loop_id} was started.")

    async def _loop_that_goes_on(self, loop_ids: Sequence[str]) -> str:
        loop_id = loop_ids[-1] if loop_ids else ""
        try:
            is_over = not loop_id or (await self._loops.get(loop_id)).job.is_final
        except NotFound:
            is_over = True
        return "" if is_over else f"the loop {loop_id} still goes on"


class _Record:
    """The report of a run, kept as its job's checkpoint."""

    def __init__(self, context: JobContext) -> None:
        self.report = ScheduledRunReport.stored(context.saved)
        self._context = context

    async def started(self, field: str, start: Callable[[str], Awaitable[str]]) -> str:
        """Return the id in a field of the report, of work that is started once."""
        if not getattr(self.report, field):
            await uninterrupted(self._start(field, start))
        return str(getattr(self.report, field))

    async def keep(self, **fields: Any) -> None:
        """Store fields of the report."""
        await self.store(replace(self.report, **fields))

    async def store(self, report: ScheduledRunReport) -> None:
        """Store the report."""
        self.report = report
        await self._context.checkpoint(to_document(report))

    async def tell(self, phase: ScheduledRunPhase, progress: WorkProgress) -> None:
        """Say how far the work is that is waited for."""
        self._context.waits = True
        await self._context.progress(
            phase=str(phase),
            done=progress.num_done,
            total=progress.num_total,
            unit=progress.unit,
            message=progress.message,
        )

    async def _start(self, field: str, start: Callable[[str], Awaitable[str]]) -> None:
        await self.keep(**{field: await start(f"{self._context.job.job_id}/{field.removesuffix('_id')}")})
