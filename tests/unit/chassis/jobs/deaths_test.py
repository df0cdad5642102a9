"""What a runner makes of jobs whose processes died, and leaves behind when its own process ends."""

import asyncio

import pytest

from services.chassis.errors import Unavailable
from services.chassis.jobs import Job, JobContext, JobRunner, JobState, Json, MemoryJobStore, watch
from services.chassis.waiting import patiently

LEASE = 30.0


async def die(store: MemoryJobStore, times: int) -> None:
    for _ in range(times):
        assert await store.claim(["x"], "dead", LEASE)
        await store.take_over_all(["x"])


async def end_of(store: MemoryJobStore, job_id: str, runner: JobRunner) -> Job:
    await runner.start()
    async with asyncio.timeout(10):
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
        await asyncio.sleep(0.5)
        ends.append("clean")
        return {}

    runner = JobRunner(store, owner="here", lease_seconds=0.4)
    runner.register("x", refuse, cleanup=clean)
    assert (await end_of(store, created.job_id, runner)).state is JobState.CANCELLED
    assert ends == ["clean"]


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
    async with asyncio.timeout(10):
        while not (await store.get(created.job_id)).attempt:
            await asyncio.sleep(0)
    await runner.stop(1.0)
    job = await store.get(created.job_id)
    assert (job.lease_until, job.num_barren_holds, job.state) == (None, 0, JobState.RUNNING)
