"""Jobs that are parts of others: who takes them, when, and what is told of them."""

from __future__ import annotations

import asyncio

from services.chassis.jobs import JobContext, JobRunner, Json, watch
from tests.machine import PATIENCE_SECONDS
from tests.unit.chassis.jobs.memory_store import MemoryJobStore


async def test_parts_are_taken_by_a_process_without_whole_jobs_once_none_waits() -> None:
    store, begun, goes_on = MemoryJobStore(), list[str](), asyncio.Event()
    runner = JobRunner(store, owner="here", is_only_owner=True)

    async def work(context: JobContext) -> Json:
        begun.append(context.job.job_id)
        await goes_on.wait()
        return {}

    runner.register("run", work, limit=2)
    runner.register("share", work, part_of="run")
    for kind, job_id in (("share", "share-1"), ("run", "run-1"), ("run", "run-2"), ("run", "run-3"), ("share", "s-2")):
        await store.create(kind, "", {}, job_id=job_id)
    await runner.start()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(begun) < 2:
            await asyncio.sleep(0.005)
        _, ages = await runner.standing()
        goes_on.set()
        async for _ in watch(store, "s-2"):
            pass
    await runner.stop(1.0)
    assert begun == ["run-1", "run-2", "run-3", "share-1", "s-2"]
    assert set(ages) == {"run"} and runner.parts == {"share"}
