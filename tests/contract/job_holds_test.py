"""What a job store makes of holders that die: a cap on deaths without progress, over memory, SQLite and PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta, tzinfo
from typing import Self

import pytest
from sqlalchemy import text

from services.chassis.application import JOB_MIGRATIONS
from services.chassis.database import Database
from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import (
    Job,
    JobContext,
    JobResource,
    JobRunner,
    JobState,
    JobStore,
    Json,
    SqlJobStore,
    attempt,
    sql_store,
)
from services.chassis.jobs.convert import job_to_proto
from tests.contract.conftest import OpenDatabase
from tests.machine import PATIENCE_SECONDS
from tests.unit.chassis.jobs import memory_store
from tests.unit.chassis.jobs.memory_store import MemoryJobStore

LEASE = 30.0
SPEC = {"n": 1}
Deed = Callable[[JobStore, Job], Awaitable[object]]


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, open_database: OpenDatabase) -> AsyncIterator[JobStore]:
    if request.param == "memory":
        yield MemoryJobStore()
        return
    yield SqlJobStore(await open_database(request.param, JOB_MIGRATIONS))


async def next_hold(store: JobStore) -> Job | None:
    """Return the job as a process takes it over whose predecessor died."""
    await store.take_over_all(["drill"])
    return await store.claim(["drill"], "successor", LEASE)


async def reports(store: JobStore, job: Job) -> None:
    progress = {"phase": "judge", "message": "Judging.", "done": 7, "total": 9, "unit": "cases"}
    await store.set_progress(job.job_id, job.epoch, progress)


async def test_a_job_that_ends_its_process_three_times_without_progress_fails_with_what_was_at_work(
    store: JobStore,
) -> None:
    created = await store.create("drill", "poison", SPEC)
    num_holds = 0
    while (job := await next_hold(store)) is not None:
        num_holds += 1
        await reports(store, job)
    failed = await store.get(created.job_id)
    # The first hold came further than any before it; the three that followed it did not.
    # The last was to clean up after it.
    assert (num_holds, failed.state, failed.attempt) == (5, JobState.FAILED, 5)
    assert failed.error is not None and failed.error.code == "ABORTED" and failed.error.next_step
    assert "4 times in a row" in failed.error.problem and "judge, Judging., 7 of 9 cases" in failed.error.problem


async def checkpoints(store: JobStore, job: Job) -> None:
    await store.save_checkpoint(job.job_id, job.epoch, {"unit": job.epoch})


async def comes_further(store: JobStore, job: Job) -> None:
    await store.set_progress(job.job_id, job.epoch, {"phase": "judge", "done": job.epoch})


async def enters_a_new_phase(store: JobStore, job: Job) -> None:
    await store.set_progress(job.job_id, job.epoch, {"phase": f"phase {job.epoch}"})


async def waits_for_others(store: JobStore, job: Job) -> None:
    await store.set_progress(job.job_id, job.epoch, {"phase": "wait"}, waits=True)


async def is_given_back(store: JobStore, job: Job) -> None:
    await store.release(job.job_id, job.epoch)


@pytest.mark.parametrize("deed", [checkpoints, comes_further, enters_a_new_phase, waits_for_others, is_given_back])
async def test_a_job_that_makes_progress_or_is_given_back_is_never_given_up(store: JobStore, deed: Deed) -> None:
    await store.create("drill", "r", SPEC)
    for _ in range(5):
        job = await next_hold(store)
        assert job is not None
        await deed(store, job)


async def test_a_wait_speaks_for_a_hold_only_while_it_lasts(store: JobStore) -> None:
    created = await store.create("drill", "r", SPEC)
    # The first report is progress; the last hold is to clean up.
    for num_holds in (1, 1, 2, 3, 4):
        job = await next_hold(store)
        assert job is not None and job.num_barren_holds == num_holds
        await store.set_progress(job.job_id, job.epoch, {}, waits=True)
        await store.set_progress(job.job_id, job.epoch, {})
    assert await next_hold(store) is None
    assert (await store.get(created.job_id)).state is JobState.FAILED


async def test_a_process_that_dies_during_a_wait_takes_back_its_own_hold_alone(store: JobStore) -> None:
    await store.create("drill", "r", SPEC)
    for num_holds in (1, 1, 2, 2, 2):
        job = await next_hold(store)
        assert job is not None and job.num_barren_holds == num_holds
        await store.set_progress(job.job_id, job.epoch, {}, waits=num_holds == 2)


@pytest.mark.parametrize(
    "progress", [{"phase": "load", "done": 3}, {"phase": "load", "done": 2}, {"phase": "generate", "done": 0}]
)
async def test_what_earlier_holds_had_reached_is_no_progress(store: JobStore, progress: dict[str, object]) -> None:
    created = await store.create("drill", "r", SPEC)
    job = await next_hold(store)
    assert job is not None
    for phase in ("load", "generate"):
        await store.set_progress(job.job_id, job.epoch, {"phase": phase, "done": 3})
    await store.save_checkpoint(job.job_id, job.epoch, {"unit": 3})
    for _ in range(3):
        job = await next_hold(store)
        assert job is not None
        await store.set_progress(job.job_id, job.epoch, progress)
        await store.save_checkpoint(job.job_id, job.epoch, {"unit": 3})
    assert await next_hold(store)
    assert await next_hold(store) is None
    assert (await store.get(created.job_id)).state is JobState.FAILED


async def test_a_job_is_held_for_the_last_time_only_by_a_process_that_does_nothing_else(store: JobStore) -> None:
    suspect = await store.create("drill", "suspect", SPEC)
    for _ in range(2):
        assert await next_hold(store)
    newer = await store.create("drill", "newer", SPEC)
    await store.take_over_all(["drill"])
    # A process that went on to take newer ones might never come to it.
    assert await store.claim(["drill"], "busy", LEASE, running=["something"], is_busy=True) is None
    waiting = await store.claim(["drill"], "waiting", LEASE, running=["something"])
    assert waiting is not None and (waiting.job_id, waiting.num_barren_holds) == (suspect.job_id, 3)
    next_one = await store.claim(["drill"], "busy", LEASE, running=["something"], is_busy=True)
    assert next_one is not None and next_one.job_id == newer.job_id


async def test_a_job_whose_holders_died_while_it_was_cancelled_is_cancelled(store: JobStore) -> None:
    created = await store.create("drill", "r", SPEC)
    assert await next_hold(store)
    await store.request_cancel(created.job_id)
    while await next_hold(store):
        pass
    assert (await store.get(created.job_id)).state is JobState.CANCELLED


async def test_a_paused_job_begins_anew_when_it_is_resumed(store: JobStore) -> None:
    created = await store.create("drill", "r", SPEC)
    for _ in range(2):
        job = await next_hold(store)
    assert job is not None
    await store.request_pause(created.job_id)
    await store.finish(created.job_id, job.epoch, JobState.PAUSED)
    assert (await store.resume(created.job_id)).num_barren_holds == 0


async def resources(jobs: list[Job]) -> list[tuple[JobState, int]]:
    return [(job.state, job.spec["n"]) for job in jobs]


@pytest.mark.parametrize(
    "damage", ["spec = 'null'", "spec = '{\"n\": '", "update_time = 'yesterday'", "progress = '[]'"]
)
async def test_a_row_that_cannot_be_read_is_set_aside_and_holds_up_nothing(
    open_database: OpenDatabase, damage: str
) -> None:
    database = await open_database("sqlite", JOB_MIGRATIONS)
    store = SqlJobStore(database)
    await _damage(database, (await store.create("drill", "bad", SPEC)).job_id, damage)
    good = await store.create("drill", "good", SPEC)
    claimed = await store.claim(["drill"], "a", LEASE)
    assert claimed is not None and claimed.job_id == good.job_id
    assert await store.claim(["drill"], "a", LEASE) is None
    assert store.num_unreadable == 1
    jobs, _ = await store.list("drill")
    assert [job.state for job in jobs] == [JobState.RUNNING, JobState.FAILED]
    assert jobs[1].error is not None and "cannot read" in jobs[1].error.problem
    with pytest.raises(FailedPrecondition, match="cannot read"):
        await store.request_cancel(jobs[1].job_id)
    listed, _ = await JobResource(store, "drill", "drill", resources).list()
    assert listed == [(JobState.RUNNING, 1)]


async def test_the_row_that_cannot_be_read_is_set_aside_and_not_one_that_another_process_has_locked(
    open_database: OpenDatabase,
) -> None:
    database = await open_database("postgresql", JOB_MIGRATIONS)
    store = SqlJobStore(database)
    good = await store.create("drill", "good", SPEC)
    await _damage(database, (await store.create("drill", "bad", SPEC)).job_id, "spec = 'null'")
    async with database.session() as session:
        await session.execute(text("SELECT 1 FROM jobs WHERE job_id = :id FOR UPDATE"), {"id": good.job_id})
        assert await store.claim(["drill"], "a", LEASE) is None
    claimed = await store.claim(["drill"], "a", LEASE)
    assert claimed is not None and claimed.job_id == good.job_id
    assert store.num_unreadable == 1


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_state_of_a_later_release_is_listed_as_failed(open_database: OpenDatabase, kind: str) -> None:
    database = await open_database(kind, JOB_MIGRATIONS)
    store = SqlJobStore(database)
    await _damage(database, (await store.create("drill", "bad", SPEC)).job_id, "state = 'DREAMING'")
    await store.create("drill", "good", SPEC)
    assert await store.claim(["drill"], "a", LEASE)
    assert [job.state for job in (await store.list("drill"))[0]] == [JobState.RUNNING, JobState.FAILED]


async def _damage(database: Database, job_id: str, damage: str) -> None:
    async with database.session() as session:
        await session.execute(
            text(f"UPDATE jobs SET {damage.replace(':', chr(92) + ':')} WHERE job_id = :id"), {"id": job_id}
        )


def set_wall_clock(monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    """Put the wall clock of the stores forward by so many hours, or back."""

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + timedelta(hours=hours)

    monkeypatch.setattr(memory_store, "datetime", Shifted)
    monkeypatch.setattr(sql_store, "datetime", Shifted)


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_wall_clock_that_is_set_anew_changes_nothing_of_what_a_job_took(
    store: JobStore, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    created, clock, has_begun = await store.create("drill", "cost", SPEC), [1000.0], asyncio.Event()
    monkeypatch.setattr(attempt, "monotonic", lambda: clock[0])

    async def work(context: JobContext) -> Json:
        clock[0] += 90.0
        set_wall_clock(monkeypatch, hours)
        has_begun.set()
        while context.job.attempt == 1:
            await asyncio.sleep(3600)
        return {}

    for _ in range(2):
        runner = JobRunner(store, owner="here", lease_seconds=LEASE)
        runner.register("drill", work)
        await runner.start()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await has_begun.wait()
            while (await store.get(created.job_id)).attempt == 2 and not (await store.get(created.job_id)).is_final:
                await asyncio.sleep(0.01)
        await runner.stop(60.0)
        # Between two holds nobody works on it.
        clock[0] += 500.0
        has_begun.clear()
    job = await store.get(created.job_id)
    assert (job.state, job.worked_seconds) == (JobState.SUCCEEDED, 180.0)
    message = job_to_proto(job)
    assert message.worked_seconds == 180.0


async def test_what_a_holder_that_died_had_worked_by_its_last_renewal_is_kept(store: JobStore) -> None:
    created = await store.create("drill", "killed", SPEC)
    first = await store.claim(["drill"], "first", LEASE)
    assert first is not None and (created.worked_seconds, first.worked_seconds) == (None, 0.0)
    for seconds in (40.0, 50.0, 45.0):
        await store.renew(first.job_id, first.epoch, LEASE, worked_seconds=seconds)
    second = await next_hold(store)
    assert second is not None and second.worked_seconds == 50.0


async def test_a_job_that_an_earlier_release_began_has_taken_what_its_times_say(open_database: OpenDatabase) -> None:
    database = await open_database("sqlite", JOB_MIGRATIONS)
    store = SqlJobStore(database)
    await store.create("drill", "earlier", SPEC)
    first = await store.claim(["drill"], "first", LEASE)
    assert first is not None and first.start_time is not None
    earlier = {"start": (first.start_time - timedelta(minutes=5)).replace(tzinfo=None), "id": first.job_id}
    async with database.session() as session:
        change = "UPDATE jobs SET worked_seconds = NULL, start_time = :start WHERE job_id = :id"
        await session.execute(text(change), earlier)
    second = await next_hold(store)
    assert second is not None and second.worked_seconds == pytest.approx(300.0)


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_wall_clock_that_is_set_anew_ends_no_lease_and_keeps_none(
    store: JobStore, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    created = await store.create("drill", "clock", SPEC)
    first = await store.claim(["drill"], "first", LEASE)
    assert first is not None
    set_wall_clock(monkeypatch, hours)
    assert await store.claim(["drill"], "second", LEASE) is None
    await store.renew(created.job_id, first.epoch, 0.0)
    taken = await store.claim(["drill"], "second", LEASE)
    assert taken is not None and taken.epoch == first.epoch + 1


async def test_the_oldest_job_that_waits_is_known_per_kind(store: JobStore) -> None:
    begun, older, newer = [await store.create("drill", name, SPEC) for name in ("begun", "older", "newer")]
    alone = await store.create("import", "alone", SPEC)
    taken = await store.claim(["drill"], "holder", LEASE)
    assert taken is not None and taken.job_id == begun.job_id
    assert await store.queued_since(["drill", "import"]) == {"drill": older.update_time, "import": alone.update_time}
    await store.request_pause(older.job_id)
    assert await store.queued_since(["drill", "export"]) == {"drill": newer.update_time}
    assert await store.queued_since([]) == {}
    resumed = await store.resume(older.job_id)
    assert resumed.update_time > newer.update_time
    assert (await store.queued_since(["drill"]))["drill"] == newer.update_time
