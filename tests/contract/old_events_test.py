"""What job stores say of old events, of how long the oldest work has gone on, and what they read to count jobs."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

from services.chassis.application import JOB_MIGRATIONS
from services.chassis.jobs import JobContext, JobRunner, JobState, Json, SqlJobStore
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


async def nothing(_context: JobContext) -> Json:
    return {}


async def test_jobs_are_counted_without_a_look_at_those_that_ended(open_database: OpenDatabase) -> None:
    database = await open_database("sqlite", JOB_MIGRATIONS)
    runner, asked = JobRunner(SqlJobStore(database), owner="me"), list[tuple[str, tuple[object, ...]]]()
    for kind in ("drill", "import"):
        runner.register(kind, nothing)

    @event.listens_for(database.engine.sync_engine, "before_cursor_execute")
    def keep(_conn: object, _cursor: object, sql: str, parameters: tuple[object, ...], *_: object) -> None:
        if "FROM jobs" in sql:
            asked.append((sql, parameters))

    await runner.standing()
    event.remove(database.engine.sync_engine, "before_cursor_execute", keep)
    async with database.engine.connect() as connection:
        plans = [await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values) for sql, values in asked]
    oldest, count = [" ".join(row.detail for row in plan) for plan in plans]
    assert count == "SCAN jobs USING COVERING INDEX ix_jobs_kind_state"
    assert oldest.startswith("SEARCH jobs USING INDEX ix_jobs_kind_state (kind=? AND state=?)")
