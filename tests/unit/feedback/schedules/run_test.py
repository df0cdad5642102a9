"""Runs of schedules from the request to the history, with the other services answering on loopback."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from drillyard.feedback.v1 import loop_pb2, schedule_pb2, scheduled_run_pb2
from drillyard.registry.v1 import deployment_pb2
from google.protobuf.json_format import ParseDict

from services.chassis.database import Database
from services.chassis.database.migration import migrate
from services.chassis.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    ServiceError,
)
from services.chassis.jobs import JobRunner, JobState
from services.feedback.convert.jobs import run_to_proto, schedule_spec_from_proto, schedule_to_proto, spec_from_proto
from services.feedback.domain.schedules.schedule import Schedule, ScheduleSpec, ScheduleState
from services.feedback.domain.schedules.scheduled_run import SCHEDULED_RUN_KIND, ScheduledRun, ScheduledRunOutcome
from services.feedback.domain.work import WorkState, seconds_of_test
from services.feedback.jobs.schedule_clock import ScheduleClock
from services.feedback.jobs.scheduled_run import ScheduledRunJob
from services.feedback.store.jobs import MIGRATIONS
from services.feedback.store.schedules import ScheduledRunJobs, SqlScheduledRunStore, SqlScheduleStore
from services.feedback.usecases.schedules import ScheduleParts, ScheduleUseCases
from tests.machine import PATIENCE_SECONDS
from tests.unit.feedback.bench import Bench, set_up

START = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SPEC: dict[str, Any] = {
    "model_version_id": "tiny:champion",
    "test_suite_version_id": "roo_xml/core",
    "goals": [{"metric": "conforming_rate", "minimum": 0.8, "confidence": 0}],
    "every_hours": 1,
}
LOOP = {"on_broken_goal": "BROKEN_GOAL_ACTION_START_LOOP", "loop": {"budget": {"max_rounds": 1}, "num_examples": 26}}


def spec_of(**fields: Any) -> ScheduleSpec:
    return schedule_spec_from_proto(ParseDict({**SPEC, **fields}, schedule_pb2.ScheduleSpec()))


@dataclass
class Watch:
    """A feedback service that watches "tiny:champion" by a clock that a test sets."""

    bench: Bench
    database: Database
    now: datetime = START
    rates: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.schedules, self.runs = SqlScheduleStore(self.database), SqlScheduledRunStore(self.database)
        self.jobs, loops = ScheduledRunJobs(self.bench.store.jobs), self.bench.store
        self.parts = ScheduleParts(self.schedules, self.runs, self.jobs, loops, self.bench.services.registry)
        self.usecases = ScheduleUseCases(self.parts, self.bench.usecases, lambda: self.now)
        self.clock = ScheduleClock(self.schedules, self.runs, self.jobs, loops, now=lambda: self.now)
        self.rates = self.bench.world.evaluator.judgement.rates

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        job = ScheduledRunJob(
            self.bench.services,
            schedules=self.schedules,
            runs=self.runs,
            loops=self.bench.store,
            starter=self.bench.usecases,
        )
        runner = JobRunner(self.bench.store.jobs, owner="bench", is_only_owner=True)
        runner.register(SCHEDULED_RUN_KIND, job.run, cleanup=job.clean_up)
        await runner.start()
        try:
            yield
        finally:
            await runner.stop(10.0)

    def serve(self, model_version_id: str) -> None:
        """Let the alias point at a version."""
        alias = deployment_pb2.Alias(alias_id="tiny:champion", model_version_id=model_version_id)
        self.bench.evidence.aliases["tiny:champion"] = alias

    async def look(self, hours: float) -> None:
        self.now = START + hours * HOUR
        await self.clock.look()

    async def ended(self, schedule_id: str, hours: float) -> ScheduledRun:
        """Return the run of a due time once it has ended."""
        await self.look(hours)
        run = (await self.runs.list(schedule_id, 2**62, 1))[0][1]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (job := await self.jobs.find(run.scheduled_run_id)) is not None and not job.is_final:
                await asyncio.sleep(0.01)
        await self.clock.look()
        return await self.usecases.get_run(run.scheduled_run_id)


@pytest.fixture
async def watch(tmp_path: Path) -> AsyncIterator[Watch]:
    database = Database.open(f"sqlite+aiosqlite:///{tmp_path}/state.db")
    await migrate(database, MIGRATIONS)
    async with set_up(tmp_path) as bench:
        made = Watch(bench, database)
        made.serve("tiny@1")
        yield made
    await database.close()


async def test_a_served_version_is_tested_and_held_against_the_last_good_run(watch: Watch) -> None:
    watch.rates |= {"tiny@1": 0.9, "tiny@2": 0.82, "tiny@3": 0.5}
    for job_id in ("a", "b"):
        watch.bench.world.registry.models.register(job_id, "tiny", job_id)
    created = await watch.usecases.create("once", spec_of())
    schedule_id = created.schedule.schedule_id
    assert created.schedule.spec.prompt_size == "compact" and created.schedule.next_due_time == START + HOUR
    runs = []
    async with watch.at_work():
        for number in (1, 2, 3):
            watch.serve(f"tiny@{number}")
            runs.append(await watch.ended(schedule_id, number))
        report, services = runs[0].report, watch.bench.services
        tested = await services.test_runner.state(report.test_run_id)
        judged = await services.evaluator.state(report.evaluation_id)
        # The evaluation went on while the run did; the time of both is not paid for twice.
        assert report.machine_seconds == seconds_of_test(tested, judged) > 0
    assert [run.outcome for run in runs] == [
        ScheduledRunOutcome.MET,
        ScheduledRunOutcome.DRIFTED,
        ScheduledRunOutcome.BROKEN,
    ]
    assert [run.report.model_version_id for run in runs] == ["tiny@1", "tiny@2", "tiny@3"]
    assert [run.report.baseline_scheduled_run_id for run in runs] == ["", *[runs[0].scheduled_run_id] * 2]
    assert "missed: the conforming rate is 50.0%" in runs[2].sentence and "-40.0 points" in runs[2].sentence
    message = run_to_proto(runs[1])
    assert message.outcome == scheduled_run_pb2.SCHEDULED_RUN_OUTCOME_DRIFTED
    assert message.report.has_drifted and round(message.report.change, 3) == -0.08
    assert message.report.goal_readings[0].low < 0.82 < message.report.goal_readings[0].high
    standing = schedule_to_proto(await watch.usecases.get(schedule_id))
    assert standing.spent.num_runs == 3 and standing.last_run.report.test_suite_version_id == "roo_xml/core@2"
    assert set(Counter(job.request_id for job in await watch.bench.world.jobs()).values()) == {1}


async def test_a_missed_goal_starts_one_loop_from_what_is_served_within_the_budget(watch: Watch) -> None:
    watch.rates["tiny@1"] = 0.5
    budget = {"max_loops": 1, "max_minutes": 90}
    schedule_id = (await watch.usecases.create("", spec_of(**LOOP, budget=budget))).schedule.schedule_id
    async with watch.at_work():
        first = await watch.ended(schedule_id, 1)
        loop = await watch.bench.store.get(first.report.loop_id)
        assert (loop.inputs.model_version_id, loop.asked.goals[0].minimum) == ("tiny@1", 0.8)
        assert 0 < loop.asked.budget.max_minutes <= 90 and loop.asked.num_examples == 26
        second = await watch.ended(schedule_id, 2)
    assert (second.outcome, second.report.loop_id) == (ScheduledRunOutcome.BROKEN, "")
    assert "No loop was started: all 1 loops of 30 days are used up." in second.sentence
    assert len((await watch.bench.store.list())[0]) == 1


async def test_a_loop_that_leaves_all_out_has_the_defaults_of_a_loop_that_a_person_starts(watch: Watch) -> None:
    watch.rates["tiny@1"] = 0.5
    action = {"on_broken_goal": "BROKEN_GOAL_ACTION_START_LOOP"}
    schedule_id = (await watch.usecases.create("", spec_of(**action))).schedule.schedule_id
    async with watch.at_work():
        run = await watch.ended(schedule_id, 1)
    started = (await watch.bench.store.get(run.report.loop_id)).asked
    usual = spec_from_proto(loop_pb2.LoopSpec())
    assert (started.search, started.budget, started.method) == (usual.search, usual.budget, None)


async def test_a_run_that_is_cancelled_ends_the_test_run_that_it_waits_for(watch: Watch) -> None:
    schedule_id = (await watch.usecases.create("", spec_of())).schedule.schedule_id
    run = await watch.usecases.run_now("by hand", schedule_id)
    gate = watch.bench.world.gates.close(f"{run.scheduled_run_id}/test_run:work")
    async with watch.at_work():
        await gate.arrival()
        await watch.usecases.cancel_run(run.scheduled_run_id)
        ended = await watch.ended(schedule_id, 0)
    assert ended.outcome is ScheduledRunOutcome.CANCELLED
    (job,) = await watch.bench.world.test_runner.jobs.all()
    assert job.state in (JobState.CANCELLING, JobState.CANCELLED)


async def test_a_run_whose_baseline_was_deleted_is_measured_without_it(watch: Watch) -> None:
    watch.rates["tiny@1"] = 0.9
    schedule_id = (await watch.usecases.create("", spec_of())).schedule.schedule_id
    async with watch.at_work():
        first = await watch.ended(schedule_id, 1)
        await watch.bench.world.evaluator.jobs.store.delete(first.report.evaluation_id)
        second = await watch.ended(schedule_id, 2)
    assert (second.outcome, second.report.baseline_scheduled_run_id) == (ScheduledRunOutcome.MET, "")


async def test_no_loop_is_started_while_the_last_one_goes_on(watch: Watch) -> None:
    watch.rates["tiny@1"] = 0.5
    schedule_id = (await watch.usecases.create("", spec_of(**LOOP))).schedule.schedule_id
    async with watch.at_work():
        first = await watch.ended(schedule_id, 1)
        second = await watch.ended(schedule_id, 2)
    assert second.report.loop_sentence == f"No loop was started: the loop {first.report.loop_id} still goes on."


@pytest.mark.parametrize("place", ["test_run:work", "evaluation:answer"])
async def test_a_run_that_is_interrupted_anywhere_makes_each_thing_once(watch: Watch, place: str) -> None:
    watch.rates["tiny@1"] = 0.9
    schedule_id = (await watch.usecases.create("", spec_of())).schedule.schedule_id
    await watch.look(1)
    run = (await watch.runs.list(schedule_id, 2**62, 1))[0][1]
    gate = watch.bench.world.gates.close(f"{run.scheduled_run_id}/{place}")
    async with watch.at_work():
        await gate.arrival()
    gate.open()
    async with watch.at_work():
        ended = await watch.ended(schedule_id, 1.5)
    assert (ended.scheduled_run_id, ended.outcome) == (run.scheduled_run_id, ScheduledRunOutcome.MET)
    assert sorted(job.request_id.rpartition("/")[2] for job in await watch.bench.world.jobs()) == [
        "evaluation",
        "test_run",
    ]


async def test_a_run_by_hand_is_one_per_request_and_one_at_a_time(watch: Watch) -> None:
    watch.rates["tiny@1"] = 0.9
    schedule_id = (await watch.usecases.create("", spec_of(budget={"max_runs": 1}))).schedule.schedule_id
    first, same = await asyncio.gather(*(watch.usecases.run_now("by hand", schedule_id) for _ in range(2)))
    assert same.scheduled_run_id == first.scheduled_run_id
    assert (await watch.usecases.run_now("by hand", schedule_id)).scheduled_run_id == first.scheduled_run_id
    with pytest.raises(FailedPrecondition, match="goes on"):
        await watch.usecases.run_now("again", schedule_id)
    with pytest.raises(FailedPrecondition, match="goes on"):
        await watch.usecases.delete(schedule_id)
    await watch.usecases.cancel_run(first.scheduled_run_id)
    await watch.clock.look()
    assert (await watch.usecases.get_run(first.scheduled_run_id)).outcome is ScheduledRunOutcome.CANCELLED
    with pytest.raises(ResourceExhausted, match="all 1 runs of 30 days are used up"):
        await watch.usecases.run_now("again", schedule_id)
    runs, _ = await watch.usecases.list_runs(schedule_id, 0, "")
    assert [run.is_manual for run in runs] == [True]
    await watch.usecases.delete(schedule_id)
    with pytest.raises(NotFound):
        await watch.usecases.get(schedule_id)
    assert await watch.jobs.find(first.scheduled_run_id) is None


def test_what_waits_in_a_queue_or_for_its_run_costs_nothing() -> None:
    def ended(seconds: float, end: float) -> WorkState:
        return WorkState(JobState.SUCCEEDED, seconds=seconds, end_time=datetime.fromtimestamp(end, UTC))

    # Both were asked for at once; the run waited for 900 s, worked for 60, and was judged 5 s later.
    assert seconds_of_test(ended(60.0, 960.0), ended(965.0, 965.0)) == 65.0
    # The evaluator was busy for an hour meanwhile.
    assert seconds_of_test(ended(60.0, 960.0), ended(7.0, 4567.0)) == 67.0
    # Its clock is behind.
    assert seconds_of_test(ended(60.0, 960.0), ended(965.0, 955.0)) == 60.0
    assert seconds_of_test(ended(60.0, 960.0), None) == 60.0


async def test_a_run_with_too_few_answers_says_so_and_decides_nothing(watch: Watch) -> None:
    watch.bench.world.test_runner.num_torn = 1
    schedule_id = (await watch.usecases.create("", spec_of())).schedule.schedule_id
    async with watch.at_work():
        run = await watch.ended(schedule_id, 1)
    assert run.outcome is ScheduledRunOutcome.FAILED and "too few answers to decide on" in run.sentence
    assert run.report.machine_seconds > 0


async def test_a_suite_that_has_lost_the_slice_of_a_goal_is_no_missed_goal(watch: Watch) -> None:
    goals = [{"metric": "conforming_rate", "slice": "tool=fly", "minimum": 0.5, "confidence": 0}]
    await watch.schedules.add(Schedule("earlier", spec_of(goals=goals), ScheduleState.ACTIVE, START + HOUR, START))
    async with watch.at_work():
        run = await watch.ended("earlier", 1)
    assert run.outcome is ScheduledRunOutcome.FAILED and "'tool=fly', which the suite lacks" in run.sentence
    assert not run.report.test_run_id


async def test_a_request_that_is_repeated_gives_one_schedule_also_when_its_alias_is_gone(watch: Watch) -> None:
    first = await watch.usecases.create("once", spec_of())
    watch.bench.evidence.aliases.clear()
    assert (await watch.usecases.create("once", spec_of())).schedule == first.schedule
    with pytest.raises(AlreadyExists, match=r"spec\.every_hours"):
        await watch.usecases.create("once", spec_of(every_hours=2))
    page, token = await watch.usecases.list(0, "")
    assert [item.schedule for item in page] == [first.schedule] and not token


async def test_what_cannot_be_watched_is_refused_before_anything_runs(watch: Watch) -> None:
    refusals: tuple[tuple[dict[str, Any], type[ServiceError], str], ...] = (
        ({"model_version_id": "tiny:nobody"}, NotFound, "no such alias"),
        ({"goals": []}, InvalidArgument, "goals are missing"),
        ({"goals": [{"metric": "pass_hat_k", "minimum": 0.5}]}, InvalidArgument, "asks each case once"),
        ({"goals": [{"metric": "conforming_rate", "minimum": 0.99999}]}, InvalidArgument, "even if all"),
        ({"prompt_size": "huge"}, InvalidArgument, "prompt_size is 'huge'"),
        ({"loop": {"num_examples": 5}}, InvalidArgument, "only tells that a goal is missed"),
        ({"budget": {"max_cost": 5}}, InvalidArgument, "what an hour costs"),
        ({**LOOP, "test_suite_version_id": "text/smoke"}, FailedPrecondition, "has no training material"),
    )
    for fields, error, words in refusals:
        with pytest.raises(error, match=words):
            await watch.usecases.create("", spec_of(**fields))
    assert await watch.schedules.active() == []


async def test_pause_and_resume_change_nothing_when_repeated(watch: Watch) -> None:
    schedule = (await watch.usecases.create("", spec_of())).schedule
    for _ in range(2):
        assert (await watch.usecases.pause(schedule.schedule_id)).schedule.next_due_time is None
    watch.now = START + 5.5 * HOUR
    for hours in (5.5, 7.5):
        watch.now = START + hours * HOUR
        assert (await watch.usecases.resume(schedule.schedule_id)).schedule.next_due_time == START + 6 * HOUR
