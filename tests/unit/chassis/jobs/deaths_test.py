"""What a runner makes of jobs whose processes died, and leaves behind when its own process ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.chassis.errors import DatabaseAway, Unavailable
from services.chassis.jobs import Job, JobContext, JobRunner, JobState, Json, watch
from services.chassis.jobs.requests import Ledger
from services.chassis.waiting import patiently
from tests.machine import PATIENCE_SECONDS
from tests.unit.chassis.jobs.memory_store import MemoryJobStore

LEASE = 30.0


async def die(store: MemoryJobStore, times: int) -> None:
    for _ in range(times):
        assert await store.claim(["x"], "dead", LEASE)
        await store.take_over_all(["x"])


async def end_of(store: MemoryJobStore, job_id: str, runner: JobRunner) -> Job:
    await runner.start()
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for _ in watch(store, job_id):
            pass
    await runner.stop(1.0)
    return await store.get(job_id)


async def refuse(_context: JobContext) -> Json:
    raise AssertionError("the job was begun again")


@pytest.mark.parametrize(("is_cancelled", "state"), [(False, JobState.FAILED), (True, JobState.CANCELLED)])
async def test_what_a_job_started_is_cleaned_up_before_the_job_is_given_up(is_cancelled: bool, state: JobState) -> None:
    store, epochs = MemoryJobStore(), list[int]()
    created = await store.create("x", "r", {})
    await die(store, 3)
    if is_cancelled:
        await store.request_cancel(created.job_id)

    async def clean(context: JobContext) -> Json:
        epochs.append(context.epoch)
        return {}

    runner = JobRunner(store, owner="here")
    runner.register("x", refuse, cleanup=clean)
    job = await end_of(store, created.job_id, runner)
    assert (job.state, epochs) == (state, [4])
    assert is_cancelled or (job.error is not None and "3 times in a row" in job.error.problem)


async def test_a_cleanup_that_is_longer_than_a_lease_is_not_cut_off_by_the_cancel_that_asked_for_it() -> None:
    store, ends = MemoryJobStore(), list[str]()
    created = await store.create("x", "r", {})
    assert await store.claim(["x"], "dead", LEASE)
    await store.request_cancel(created.job_id)
    await store.take_over_all(["x"])

    async def clean(_context: JobContext) -> Json:
        await asyncio.sleep(1.2)
        ends.append("clean")
        return {}

    runner = JobRunner(store, owner="here", lease_seconds=1.0)
    runner.register("x", refuse, cleanup=clean)
    assert (await end_of(store, created.job_id, runner)).state is JobState.CANCELLED
    assert ends == ["clean"]


class BusyStore(MemoryJobStore):
    """Its database is away just when someone has asked for a cancel."""

    num_refused = 0

    async def renew(self, *arguments: Any, **options: Any) -> Job:
        if (await self.get(arguments[0])).state is JobState.CANCELLING and not self.num_refused:
            self.num_refused += 1
            raise DatabaseAway("The database does not answer.")
        return await super().renew(*arguments, **options)


async def test_a_cancel_that_a_busy_database_kept_from_a_job_does_not_wait_for_a_long_lease(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.chassis.jobs.attempt._RENEWAL_SECONDS", 0.05, raising=False)
    store, has_begun = BusyStore(), asyncio.Event()

    async def work(_context: JobContext) -> Json:
        has_begun.set()
        await asyncio.Event().wait()
        return {}

    runner = JobRunner(store, owner="here", lease_seconds=3600.0)
    runner.register("x", work)
    created = await store.create("x", "r", {})
    await runner.start()
    await has_begun.wait()
    await store.request_cancel(created.job_id)
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for _ in watch(store, created.job_id):
            pass
    await runner.stop(1.0)
    assert ((await store.get(created.job_id)).state, store.num_refused) == (JobState.CANCELLED, 1)


class SilentStore(MemoryJobStore):
    """Never says whether a lease was renewed."""

    async def renew(self, *arguments: Any, **options: Any) -> Job:
        await asyncio.Event().wait()
        raise AssertionError


async def test_a_lease_that_ends_before_its_work_is_logged_with_its_length() -> None:
    store = SilentStore()

    async def work(context: JobContext) -> Json:
        if context.job.attempt == 1:
            await asyncio.Event().wait()
        return {}

    runner = JobRunner(store, owner="here", lease_seconds=0.3)
    runner.register("x", work)
    created = await store.create("x", "r", {})
    with capture_logs() as records:
        job = await end_of(store, created.job_id, runner)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2)
    (record,) = [record for record in records if record["event"] == "job_lease_ended"]
    assert (record["log_level"], record["lease_seconds"]) == ("warning", 0.3)
    assert record["late_seconds"] >= 0


async def test_a_job_whose_wait_is_over_answers_for_its_process_again_before_it_goes_on() -> None:
    store, outages, holds = MemoryJobStore(), [Unavailable("It is away.")], list[int]()

    async def call() -> None:
        if outages:
            raise outages.pop()

    async def work(context: JobContext) -> Json:
        await patiently(call, "the registry")
        # As if this process died now.
        await store.take_over_all(["x"])
        successor = await store.claim(["x"], "successor", LEASE)
        assert successor is not None
        holds.append(successor.num_barren_holds)
        await store.finish(successor.job_id, successor.epoch, JobState.SUCCEEDED)
        return {}

    created = await store.create("x", "r", {})
    first = await store.claim(["x"], "first", LEASE)
    assert first is not None
    await store.set_progress(first.job_id, first.epoch, {})
    await store.take_over_all(["x"])
    await die(store, 1)
    runner = JobRunner(store, owner="here")
    runner.register("x", work)
    await end_of(store, created.job_id, runner)
    assert holds == [3]


class LossyStore(MemoryJobStore):
    """The answer to its next write is lost, though the write is stored, when `is_lossy`."""

    is_lossy = False

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[Ledger]:
        async with super()._writing() as ledger:
            yield ledger
        if self.is_lossy:
            self.is_lossy = False
            raise DatabaseAway("The database does not answer.")


async def test_an_event_is_there_once_though_the_answer_of_the_database_was_lost() -> None:
    store = LossyStore()

    async def work(context: JobContext) -> Json:
        first = await context.event("message", {"text": "same"})
        store.is_lossy = True
        second = await context.event("message", {"text": "same"})
        return {"sequences": [first.sequence, second.sequence]}

    created = await store.create("x", "r", {})
    runner = JobRunner(store, owner="here")
    runner.register("x", work)
    job = await end_of(store, created.job_id, runner)
    messages = [event.sequence for event in await store.events(job.job_id) if event.type == "message"]
    assert job.result == {"sequences": messages} == {"sequences": [3, 4]}


class SlowStore(MemoryJobStore):
    """Its answer to a claim comes a moment after the claim is stored."""

    async def claim(self, *args: object, **kwargs: object) -> Job | None:
        job = await super().claim(*args, **kwargs)  # type: ignore[arg-type]
        if job is not None:
            await asyncio.sleep(0.1)
        return job


async def test_a_job_that_is_being_claimed_when_its_process_ends_is_free_for_the_next() -> None:
    store = SlowStore()
    created = await store.create("x", "r", {})
    runner = JobRunner(store, owner="here")
    runner.register("x", refuse)
    await runner.start()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (await store.get(created.job_id)).attempt:
            await asyncio.sleep(0)
    await runner.stop(1.0)
    job = await store.get(created.job_id)
    assert (job.lease_until, job.num_barren_holds, job.state) == (None, 0, JobState.RUNNING)
