import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from services.chassis.errors import DatabaseAway, InvalidArgument
from services.chassis.jobs import Job, JobContext, JobPaused, JobRunner, JobState, Json, watch
from services.chassis.jobs.job import JobEvent
from services.chassis.jobs.requests import Ledger
from tests.machine import PATIENCE_SECONDS
from tests.unit.chassis.jobs.memory_store import MemoryJobStore

LEASE = 30.0


@pytest.fixture
def store() -> MemoryJobStore:
    return MemoryJobStore()


@pytest.fixture
async def runner(store: MemoryJobStore) -> AsyncIterator[JobRunner]:
    runner = JobRunner(store, owner="here", lease_seconds=LEASE, is_only_owner=True)
    yield runner
    await runner.stop(1.0)


async def ended(store: MemoryJobStore, job_id: str) -> Job:
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for _ in watch(store, job_id):
            pass
    return await store.get(job_id)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


async def reach(store: MemoryJobStore, job_id: str, state: JobState) -> Job:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (job := await store.get(job_id)).state is not state:
            await asyncio.sleep(0.005)
    return job


async def sleep_for_ever(ctx: JobContext) -> Json:
    await asyncio.Event().wait()
    return {}


async def test_a_job_that_is_created_while_the_runner_waits_is_done_at_once(
    store: MemoryJobStore, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.chassis.jobs.runner._POLL_SECONDS", 3600.0)

    async def double(ctx: JobContext) -> Json:
        return {"n": ctx.job.spec["n"] * 2}

    runner.register("double", double)
    await runner.start()
    await asyncio.sleep(0.01)
    created = await store.create("double", "r1", {"n": 21})
    job = await ended(store, created.job_id)
    assert (job.state, job.result, job.attempt) == (JobState.SUCCEEDED, {"n": 42}, 1)


async def test_an_error_with_a_next_step_reaches_the_job_word_for_word(
    store: MemoryJobStore, runner: JobRunner
) -> None:
    async def refuse(ctx: JobContext) -> Json:
        raise InvalidArgument("The suite is empty.", "Choose another.")

    runner.register("x", refuse)
    await runner.start()
    job = await ended(store, (await store.create("x", "r1", {})).job_id)
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert (job.error.code, job.error.problem) == ("INVALID_ARGUMENT", "The suite is empty.")
    assert job.error.next_step == "Choose another."


async def test_a_fault_of_the_program_fails_the_job_without_its_text(store: MemoryJobStore, runner: JobRunner) -> None:
    async def break_down(ctx: JobContext) -> Json:
        raise KeyError("secret prompt")

    runner.register("x", break_down)
    await runner.start()
    job = await ended(store, (await store.create("x", "r1", {})).job_id)
    assert job.error is not None
    assert job.error.code == "INTERNAL"
    assert "secret" not in str(job)


async def test_a_cancelled_job_may_clean_up(store: MemoryJobStore, runner: JobRunner) -> None:
    seen: list[bool] = []

    async def work(ctx: JobContext) -> Json:
        try:
            return await sleep_for_ever(ctx)
        finally:
            seen.append(ctx.cancel_requested)

    runner.register("x", work)
    await runner.start()
    job_id = (await store.create("x", "r1", {})).job_id
    await reach(store, job_id, JobState.RUNNING)
    await store.request_cancel(job_id)
    assert (await ended(store, job_id)).state is JobState.CANCELLED
    assert seen == [True]


async def test_a_pause_saves_and_a_resume_goes_on_from_there(store: MemoryJobStore, runner: JobRunner) -> None:
    started: list[Json | None] = []

    async def work(ctx: JobContext) -> Json:
        started.append(ctx.saved)
        if ctx.saved:
            return {"from": ctx.saved["step"]}
        await ctx.wait_for_request()
        assert ctx.pause_requested
        await ctx.checkpoint({"step": 7})
        raise JobPaused

    runner.register("x", work)
    await runner.start()
    job_id = (await store.create("x", "r1", {})).job_id
    await reach(store, job_id, JobState.RUNNING)
    await store.request_pause(job_id)
    await reach(store, job_id, JobState.PAUSED)
    await store.resume(job_id)
    assert (await ended(store, job_id)).result == {"from": 7}
    assert started == [None, {"step": 7}]


async def test_a_declined_pause_can_be_asked_for_again(store: MemoryJobStore, runner: JobRunner) -> None:
    async def work(ctx: JobContext) -> Json:
        await ctx.wait_for_request()
        await ctx.decline_pause("no checkpoint yet")
        await ctx.wait_for_request()
        raise JobPaused

    runner.register("x", work)
    await runner.start()
    job_id = (await store.create("x", "r1", {})).job_id
    await reach(store, job_id, JobState.RUNNING)
    await store.request_pause(job_id)
    await until(lambda: runner.running[job_id].state is JobState.RUNNING and runner.running[job_id].last_sequence > 3)
    await store.request_pause(job_id)
    await reach(store, job_id, JobState.PAUSED)


async def test_a_pause_that_nobody_asked_for_is_a_failure_and_not_a_stuck_job(
    store: MemoryJobStore, runner: JobRunner
) -> None:
    async def work(ctx: JobContext) -> Json:
        raise JobPaused

    runner.register("x", work)
    await runner.start()
    assert (await ended(store, (await store.create("x", "r1", {})).job_id)).state is JobState.FAILED


async def test_a_drained_job_goes_on_in_the_next_process_at_once(store: MemoryJobStore, runner: JobRunner) -> None:
    async def first(ctx: JobContext) -> Json:
        await ctx.checkpoint({"unit": 3})
        await ctx.progress(done=3)
        await ctx.progress(done=4)
        return await sleep_for_ever(ctx)

    async def second(ctx: JobContext) -> Json:
        return {"from": ctx.saved, "progress": ctx.job.progress}

    runner.register("x", first)
    await runner.start()
    job_id = (await store.create("x", "r1", {})).job_id
    await until(lambda: job_id in runner.running and runner.running[job_id].saved is not None)
    await runner.stop(1.0)
    left = await store.get(job_id)
    assert (left.state, left.lease_until) == (JobState.RUNNING, None)
    successor = JobRunner(store, owner="there", lease_seconds=LEASE)
    successor.register("x", second)
    await successor.start()
    job = await ended(store, job_id)
    await successor.stop(1.0)
    assert job.result == {"from": {"unit": 3}, "progress": {"done": 4}}
    assert (job.attempt, job.epoch) == (2, 2)


async def test_a_job_that_was_being_cancelled_when_its_process_died_is_cleaned_up(store: MemoryJobStore) -> None:
    job_id = (await store.create("x", "r1", {})).job_id
    await store.claim(["x"], "dead", LEASE)
    await store.request_cancel(job_id)
    cleaned: list[int] = []

    async def clean(ctx: JobContext) -> Json:
        cleaned.append(ctx.epoch)
        return {}

    runner = JobRunner(store, owner="here", is_only_owner=True)
    runner.register("x", sleep_for_ever, cleanup=clean)
    await runner.start()
    assert (await ended(store, job_id)).state is JobState.CANCELLED
    await runner.stop(1.0)
    assert cleaned == [2]


async def test_no_more_jobs_of_a_kind_run_at_once_than_its_limit(store: MemoryJobStore, runner: JobRunner) -> None:
    now, most = 0, 0

    async def work(ctx: JobContext) -> Json:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1
        return {}

    runner.register("x", work, limit=2)
    jobs = [await store.create("x", f"r{n}", {}) for n in range(8)]
    await runner.start()
    for job in jobs:
        assert (await ended(store, job.job_id)).state is JobState.SUCCEEDED
    assert most == 2


async def test_an_owner_that_lost_its_job_stops_the_work_and_writes_nothing() -> None:
    seconds = 0.0
    store = MemoryJobStore(lambda: seconds)
    stopped = asyncio.Event()

    async def work(ctx: JobContext) -> Json:
        try:
            return await sleep_for_ever(ctx)
        finally:
            stopped.set()

    sleeper = JobRunner(store, owner="sleeper", lease_seconds=0.3)
    sleeper.register("x", work)
    await sleeper.start()
    job_id = (await store.create("x", "r1", {})).job_id
    await reach(store, job_id, JobState.RUNNING)
    seconds += 1.0
    thief = await store.claim(["x"], "thief", LEASE)
    assert thief is not None
    await asyncio.wait_for(stopped.wait(), PATIENCE_SECONDS)
    await until(lambda: not sleeper.running)
    await sleeper.stop(1.0)
    assert (await store.get(job_id)) == thief


async def test_a_running_job_keeps_its_lease(store: MemoryJobStore) -> None:
    runner = JobRunner(store, owner="here", lease_seconds=1.0)
    runner.register("x", sleep_for_ever)
    await runner.start()
    job_id = (await store.create("x", "r1", {})).job_id
    first = later = await reach(store, job_id, JobState.RUNNING)
    while (later.lease_until or 0) <= (first.lease_until or 0):
        await asyncio.sleep(0.01)
        later = await store.get(job_id)
    assert later.epoch == first.epoch and await store.claim(["x"], "thief", LEASE) is None
    await runner.stop(1.0)


async def test_progress_is_stored_at_most_twice_a_second_and_the_last_one_always(
    store: MemoryJobStore, runner: JobRunner
) -> None:
    async def work(ctx: JobContext) -> Json:
        begin = time.monotonic()
        for n in range(120):
            await ctx.progress(phase="drill", done=n + 1, total=120, unit="cases")
            await asyncio.sleep(0.005)
        return {"seconds": time.monotonic() - begin}

    runner.register("x", work)
    await runner.start()
    job = await ended(store, (await store.create("x", "r1", {})).job_id)
    reports = [event for event in await store.events(job.job_id) if event.type == "progress"]
    assert job.result and 2 <= len(reports) <= 2 * job.result["seconds"] + 2
    assert job.progress == reports[-1].payload == {"phase": "drill", "done": 120, "total": 120, "unit": "cases"}
    assert (await store.events(job.job_id))[-1].type == "state"


async def test_progress_that_stands_still_is_still_stored(store: MemoryJobStore, runner: JobRunner) -> None:
    async def work(ctx: JobContext) -> Json:
        await ctx.progress(done=1)
        await ctx.progress(done=2)
        return await sleep_for_ever(ctx)

    runner.register("x", work)
    await runner.start()
    job_id = (await store.create("x", "r1", {})).job_id
    await until(lambda: job_id in runner.running and runner.running[job_id].progress == {"done": 2})


class FlakyStore(MemoryJobStore):
    """Its database is away while `is_away`."""

    is_away = False

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[Ledger]:
        if self.is_away:
            raise DatabaseAway("The database does not answer.")
        async with super()._writing() as ledger:
            yield ledger


def begin_outage(store: FlakyStore, seconds: float) -> None:
    store.is_away = True
    asyncio.get_running_loop().call_later(seconds, setattr, store, "is_away", False)


async def test_every_write_of_a_job_waits_for_a_database_that_is_away_and_progress_does_not() -> None:
    store = FlakyStore()

    async def work(ctx: JobContext) -> Json:
        begin_outage(store, 0.3)
        await ctx.progress(done=1)
        await ctx.progress(done=2)
        assert store.is_away
        await ctx.event("message", {"text": "hello"})
        begin_outage(store, 0.3)
        await ctx.checkpoint({"kept": 1})
        begin_outage(store, 0.3)
        return {"kept": True}

    runner = JobRunner(store, owner="here")
    runner.register("x", work)
    await runner.start()
    job = await ended(store, (await store.create("x", "r1", {})).job_id)
    await runner.stop(1.0)
    assert (job.state, job.result, job.attempt, job.saved) == (JobState.SUCCEEDED, {"kept": True}, 1, {"kept": 1})
    assert job.progress == {"done": 2}


async def test_a_job_whose_database_was_away_for_longer_than_its_lease_goes_on_without_blame() -> None:
    store = FlakyStore()

    async def work(ctx: JobContext) -> Json:
        if ctx.job.attempt == 1:
            begin_outage(store, 1.0)
            await ctx.checkpoint({"never": "stored"})
        return {"barren": ctx.job.num_barren_holds}

    runner = JobRunner(store, owner="here", lease_seconds=0.4)
    runner.register("x", work)
    await runner.start()
    job = await ended(store, (await store.create("x", "r1", {})).job_id)
    await runner.stop(1.0)
    assert (job.state, job.attempt, job.saved) == (JobState.SUCCEEDED, 2, None)
    assert job.result == {"barren": 1}


async def test_a_job_that_ignores_the_end_of_its_process_does_not_hold_it(store: MemoryJobStore) -> None:
    async def stubborn(ctx: JobContext) -> Json:
        for _ in range(3):
            try:
                await asyncio.sleep(0.3)
            except asyncio.CancelledError:
                continue
        return {}

    runner = JobRunner(store, owner="here")
    runner.register("x", stubborn)
    await runner.start()
    job_id = (await store.create("x", "r1", {})).job_id
    await reach(store, job_id, JobState.RUNNING)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await runner.stop(0.1)


async def test_the_last_event_of_a_job_is_its_final_state(store: MemoryJobStore, runner: JobRunner) -> None:
    async def work(ctx: JobContext) -> Json:
        event: JobEvent = await ctx.event("message", {"text": "hello"})
        return {"sequence": event.sequence}

    runner.register("x", work)
    await runner.start()
    job = await ended(store, (await store.create("x", "r1", {})).job_id)
    types = [event.type for event in await store.events(job.job_id)]
    assert types == ["state", "state", "message", "state"]
    assert job.result == {"sequence": 3}


async def test_a_result_that_is_no_json_fails_the_job_instead_of_beginning_it_for_ever(
    store: MemoryJobStore, runner: JobRunner
) -> None:
    async def work(_ctx: JobContext) -> Json:
        return {"x": {1, 2}}

    runner.register("x", work)
    await runner.start()
    job = await ended(store, (await store.create("x", "r1", {})).job_id)
    assert (job.state, job.attempt) == (JobState.FAILED, 1)
