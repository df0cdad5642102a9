"""Due times of schedules over every store: each has one run, whatever is killed and however many processes look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.chassis.database import Database
from services.chassis.errors import DatabaseAway
from services.chassis.jobs import Job, JobError, JobState, SqlJobStore
from services.chassis.wire import from_document, to_document
from services.feedback.domain.schedules.schedule import Schedule, ScheduleBudget, ScheduleSpec, ScheduleState
from services.feedback.domain.schedules.scheduled_run import (
    SCHEDULED_RUN_KIND,
    PeriodRuns,
    ScheduledRun,
    ScheduledRunReport,
)
from services.feedback.jobs.schedule_clock import ScheduleClock
from services.feedback.store.jobs import MIGRATIONS, JobLoopStore, SqlLoopAnswers
from services.feedback.store.schedules import ScheduledRunJobs, SqlScheduledRunStore, SqlScheduleStore
from tests.contract.conftest import OpenDatabase

START = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SPEC = from_document(
    ScheduleSpec,
    {
        "model_version_id": "tiny:champion",
        "test_suite_version_id": "roo_xml/core",
        "goals": [{"metric": "conforming_rate", "minimum": 0.8}],
        "every_hours": 1,
    },
)

WATCH = Schedule("nightly", SPEC, ScheduleState.ACTIVE, START + HOUR, START)


def report(rate: float, suite: str = "roo_xml/core@1", **fields: Any) -> ScheduledRunReport:
    document = {
        "test_suite_version_id": suite,
        "evaluation_id": f"judged-{rate}",
        "goal_readings": [
            {"metric": "conforming_rate", "value": rate, "num_cases": 100, "is_met": rate >= 0.8, "sentence": "read"}
        ],
        **fields,
    }
    return from_document(ScheduledRunReport, document)


@dataclass
class Plant:
    """The stores of one database, and processes that look at it by one clock."""

    database: Database
    now: datetime = START
    schedule: Schedule = WATCH

    def __post_init__(self) -> None:
        self.jobs = SqlJobStore(self.database)
        self.schedules, self.runs = SqlScheduleStore(self.database), SqlScheduledRunStore(self.database)
        self.loops = JobLoopStore(self.jobs, SqlLoopAnswers(self.database))

    def process(self, jobs: Any = None) -> ScheduleClock:
        """Return a clock as another process has it."""
        return ScheduleClock(
            self.schedules, self.runs, jobs or ScheduledRunJobs(self.jobs), self.loops, now=lambda: self.now
        )

    async def look_at(self, hours: float) -> None:
        self.now = START + hours * HOUR
        await self.process().look()

    async def history(self) -> list[ScheduledRun]:
        return [run for _, run in await self.runs.list("nightly", 2**62, 100)][::-1]

    async def all_jobs(self) -> list[Job]:
        return (await self.jobs.list(SCHEDULED_RUN_KIND))[0]

    async def work(self, ended: ScheduledRunReport) -> None:
        """Do the job that waits, as a runner does."""
        job = await self.jobs.claim([SCHEDULED_RUN_KIND], "me", 60)
        assert job is not None
        await self.jobs.finish(job.job_id, job.epoch, JobState.SUCCEEDED, result=to_document(ended))
        await self.process().look()


@pytest.fixture(params=("sqlite", "postgresql"))
async def plant(request: pytest.FixtureRequest, open_database: OpenDatabase) -> AsyncIterator[Plant]:
    made = Plant(await open_database(request.param, MIGRATIONS))
    await made.schedules.add(made.schedule)
    yield made


async def outcomes(plant: Plant) -> list[tuple[float, str, int]]:
    return [((run.due_time - START) / HOUR, str(run.outcome), run.num_missed) for run in await plant.history()]


async def test_a_schedule_is_kept_with_all_that_it_was_asked(plant: Plant) -> None:
    assert await plant.schedules.get("nightly") == plant.schedule
    other = replace(plant.schedule, spec=replace(SPEC, every_hours=2))
    assert await plant.schedules.add(other) == plant.schedule
    assert [item for _, item in await plant.schedules.list(2**62, 10)] == [plant.schedule]


async def test_of_many_processes_that_look_at_once_one_makes_the_run_of_a_due_time(plant: Plant) -> None:
    plant.now = START + HOUR
    await asyncio.gather(*(plant.process().look() for _ in range(8)))
    assert await outcomes(plant) == [(1, "None", 0)]
    assert len(await plant.all_jobs()) == 1


async def test_a_process_that_dies_between_run_and_job_leaves_the_job_to_the_next(plant: Plant) -> None:
    class Dying(ScheduledRunJobs):
        async def begin(self, scheduled_run_id: str) -> Job:
            raise DatabaseAway("It is gone.", "Wait.")

    plant.now = START + HOUR
    with pytest.raises(DatabaseAway):
        await plant.process(Dying(plant.jobs)).look()
    assert await outcomes(plant) == [(1, "None", 0)] and not await plant.all_jobs()
    await plant.look_at(1.1)
    await plant.look_at(1.2)
    (run,) = await plant.history()
    assert [job.job_id for job in await plant.all_jobs()] == [run.scheduled_run_id]


async def test_due_times_that_passed_while_the_service_was_away_are_run_once(plant: Plant) -> None:
    await plant.look_at(5.5)
    assert await outcomes(plant) == [(1, "None", 4)]
    await plant.work(report(0.9))
    await plant.look_at(6)
    assert await outcomes(plant) == [(1, "MET", 4), (6, "None", 0)]


async def test_a_run_that_is_longer_than_the_period_is_told_and_not_doubled(plant: Plant) -> None:
    await plant.look_at(1)
    await plant.look_at(2)
    assert await outcomes(plant) == [(1, "None", 0), (2, "OVERRUN", 0)]
    assert len(await plant.all_jobs()) == 1
    assert await plant.schedules.count_outcomes() == {"OVERRUN": 1}
    await plant.work(report(0.5))
    assert await plant.schedules.count_outcomes() == {"BROKEN": 1}


async def test_a_clock_that_was_set_back_runs_no_due_time_twice_and_one_that_was_ahead_is_not_waited_for(
    plant: Plant,
) -> None:
    await plant.look_at(1)
    await plant.work(report(0.9))
    for hours in (0.5, 1, 1.5):
        await plant.look_at(hours)
    assert await outcomes(plant) == [(1, "MET", 0)]
    await plant.look_at(24 * 365)
    await plant.work(report(0.9))
    for hours in (2.5, 3):
        await plant.look_at(hours)
    assert [due for due, _, _ in await outcomes(plant)] == [1, 2, 3]


async def test_a_paused_schedule_keeps_no_due_times_and_makes_up_for_none(plant: Plant) -> None:
    await plant.schedules.set_state("nightly", ScheduleState.PAUSED, None)
    await plant.look_at(3.5)
    await plant.schedules.set_state("nightly", ScheduleState.ACTIVE, plant.schedule.next_due(plant.now))
    await plant.look_at(3.6)
    assert await outcomes(plant) == []
    await plant.look_at(4)
    assert await outcomes(plant) == [(4, "None", 0)]


async def test_a_budget_that_is_used_up_is_told_until_its_period_has_passed(plant: Plant) -> None:
    spec = replace(SPEC, budget=ScheduleBudget(1, 2, 0, 0.0, 0.0, 0.0))
    await plant.schedules.delete("nightly")
    await plant.schedules.add(replace(plant.schedule, spec=spec))
    for hours in (1, 2):
        await plant.look_at(hours)
        await plant.work(report(0.9))
    await plant.look_at(3)
    assert (await outcomes(plant))[-1] == (3, "OUT_OF_BUDGET", 0)
    assert "all 2 runs of 1 days are used up" in (await plant.history())[-1].sentence
    await plant.look_at(25.5)
    assert (await outcomes(plant))[-1] == (4, "None", 21)


async def test_what_a_period_has_cost_is_summed_with_the_loops_that_it_started(plant: Plant) -> None:
    for hours, fields in ((1, {"machine_seconds": 90.0}), (2, {"machine_seconds": 30.5, "loop_id": "loop-2"}), (3, {})):
        await plant.look_at(hours)
        await plant.work(report(0.9, **fields))
    await plant.look_at(4)
    await plant.look_at(5)
    going_on = (await plant.history())[-2].scheduled_run_id
    assert await plant.runs.period("nightly", START) == PeriodRuns(4, 120.5, ("loop-2",), going_on)
    assert await plant.runs.period("nightly", START + 2.5 * HOUR, without_id=going_on) == PeriodRuns(1, 0.0, ())
    assert await plant.runs.period("another", START) == PeriodRuns(0, 0.0, ())


async def test_jobs_that_fail_or_are_cancelled_end_their_runs_with_the_reason(plant: Plant) -> None:
    await plant.look_at(1)
    (job,) = await plant.all_jobs()
    assert await plant.schedules.delete("nightly") is None
    await plant.jobs.request_cancel(job.job_id)
    await plant.process().look()
    await plant.look_at(2)
    job = await plant.jobs.claim([SCHEDULED_RUN_KIND], "me", 60)  # type: ignore[assignment]
    error = JobError("NOT_FOUND", "There is no such alias.", "Set it.")
    await plant.jobs.finish(job.job_id, job.epoch, JobState.FAILED, error=error)
    await plant.process().look()
    assert await outcomes(plant) == [(1, "CANCELLED", 0), (2, "FAILED", 0)]
    runs = await plant.history()
    assert runs[1].sentence == "There is no such alias. Set it."
    assert await plant.schedules.delete("nightly") == [run.scheduled_run_id for run in runs]


async def test_the_baseline_is_the_last_run_that_met_the_goals_on_the_suite_else_the_first(plant: Plant) -> None:
    rates = [(0.5, "roo_xml/core@1"), (0.6, "roo_xml/core@1"), (0.7, "roo_xml/core@2")]
    baselines = []
    for hours, (rate, suite) in enumerate([*rates, (0.9, "roo_xml/core@1"), (0.4, "roo_xml/core@1")], 1):
        await plant.look_at(hours)
        await plant.work(report(rate, suite))
        baseline = await plant.runs.baseline("nightly", "roo_xml/core@1")
        baselines.append(baseline.report.evaluation_id if baseline else "")
    assert baselines == ["judged-0.5"] * 3 + ["judged-0.9"] * 2
    assert await plant.runs.baseline("nightly", "roo_xml/core@3") is None
