"""What many jobs at once write and ask costs their process no more than what a few do."""

from __future__ import annotations

import asyncio

from services.chassis.jobs import JobContext
from services.chassis.jobs.bell import Pace
from tests.machine import PATIENCE_SECONDS
from tests.unit.chassis.jobs.memory_store import MemoryJobStore


def test_turns_are_given_one_after_another() -> None:
    pace = Pace(turns_a_second=0.001)
    assert pace.wait_seconds() == 0
    # A little of each gap has passed.
    assert 900 < pace.wait_seconds() <= 1000
    assert 1900 < pace.wait_seconds() <= 2000


async def test_jobs_of_one_process_take_turns_to_report_and_each_stores_its_last_report() -> None:
    store = MemoryJobStore()
    store.pace_of_progress = Pace(turns_a_second=0.001)
    contexts = []
    for number in range(2):
        await store.create("x", f"r{number}", {})
        job = await store.claim(["x"], "me", 60)
        assert job is not None
        contexts.append(JobContext(store, job))
        await contexts[-1].progress(done=number + 1)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not contexts[0].job.progress:
            await asyncio.sleep(0.005)
    assert not contexts[1].job.progress
    await contexts[1].close()
    assert contexts[1].job.progress == {"done": 2}
