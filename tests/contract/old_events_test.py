"""What job stores say of old events, and of how long the oldest work has gone on."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from services.chassis.application import JOB_MIGRATIONS
from services.chassis.jobs import JobState, SqlJobStore
from tests.contract.conftest import OpenDatabase


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_events_of_ended_jobs_go_but_those_of_their_states(kind: str, open_database: OpenDatabase) -> None:
    store = SqlJobStore(await open_database(kind, JOB_MIGRATIONS))
    before = datetime.now(UTC) + timedelta(hours=1)
    epochs = {}
    for job_id in ("ended", "running"):
        await store.create("drill", "", {}, job_id=job_id)
        claim = await store.claim(["drill"], "me", 30)
        assert claim is not None
        epochs[job_id] = claim.epoch
        await store.append_event(job_id, claim.epoch, "point", {"value": 0.5})
    await store.create("drill", "", {}, job_id="waiting")
    await store.finish("ended", epochs["ended"], JobState.SUCCEEDED)
    assert await store.old_events(datetime.now(UTC) - timedelta(hours=1)) == []
    ((job_id, num, size),) = await store.old_events(before)
    history = {name: await store.events(name) for name in epochs}
    num_others = sum(event.type != "state" for event in history["ended"])
    assert (job_id, num, size > num) == ("ended", num_others, True)
    for name in epochs:
        await store.delete_events(name)
    assert await store.events("running") == history["running"]
    assert await store.events("ended") == [event for event in history["ended"] if event.type == "state"]
    assert await store.old_events(before) == []
    running = await store.get("running")
    assert running.start_time is not None
    assert await store.at_work_since() == pytest.approx(running.start_time.timestamp())
    await store.finish("running", epochs["running"], JobState.SUCCEEDED)
    assert await store.at_work_since() == pytest.approx(time.time(), abs=60)
