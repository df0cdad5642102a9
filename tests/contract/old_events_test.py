"""What job stores say of old events, of how long the oldest work has gone on, what they read to count jobs, and whose
the jobs and tokens are."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from drillyard.usage.v1.usage_service_pb2 import GetUsageRequest
from sqlalchemy import event

from services.chassis.application import JOB_MIGRATIONS
from services.chassis.errors import DatabaseAway, QuotaExceeded
from services.chassis.jobs import JobContext, JobRunner, JobState, Json, SqlJobStore
from services.chassis.machine.caller import current_caller, current_workspace, used_up
from services.chassis.machine.usage import Usage, add_tokens
from tests.contract.conftest import OpenDatabase
from tests.machine import PATIENCE_SECONDS
from tests.unit.chassis.jobs.memory_store import MemoryJobStore


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


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_the_use_of_workspaces_counts_what_was_asked_for_and_tokens_of_all_work(
    kind: str, open_database: OpenDatabase
) -> None:
    database = await open_database(kind, JOB_MIGRATIONS)
    store, made, asked = SqlJobStore(database), asyncio.Event(), ""
    runner = JobRunner(store, owner="me")
    usage = Usage(database, runner)
    usage.uncounted_kinds = frozenset({"evaluation"})

    async def loop(context: JobContext) -> Json:
        child = await store.create("step", f"{context.job.job_id}/1", {})
        async with database.session() as session:
            await add_tokens(session, child.workspace_id, 40)
        usage.note_tokens(2)
        made.set()
        await context.wait_for_request()
        return {}

    runner.register("loop", loop)
    runner.register("step", loop, limit=0)
    runner.register("evaluation", loop, limit=0)
    current_workspace.set("lab")
    current_caller.set("key:ci")
    asked = (await store.create("loop", "", {})).job_id
    await store.request_cancel((await store.create("step", "ended", {})).job_id)
    current_workspace.set("default")
    current_caller.set("")
    await store.create("step", "waits", {})
    await store.create("evaluation", "waits", {})
    await runner.start()
    await asyncio.wait_for(made.wait(), PATIENCE_SECONDS)
    context: Any = None
    answer = await usage.GetUsage(GetUsageRequest(), context)
    assert {use.workspace_id: (use.num_jobs, use.num_tokens) for use in answer.workspaces} == {
        "default": (1, 0),
        "lab": (1, 42),
    }
    children = [job for job in (await store.list("step"))[0] if job.caller == f"job:{asked}"]
    assert [job.workspace_id for job in children] == ["lab"]
    states = [event.payload for event in await store.events(asked) if event.type == "state"]
    assert [payload.get("caller") for payload in states] == ["key:ci", None]
    await runner.stop(1)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_beyond_a_quota_nothing_new_is_made_and_what_was_made_is_found_again(
    kind: str, open_database: OpenDatabase
) -> None:
    store = SqlJobStore(await open_database(kind, JOB_MIGRATIONS))
    current_workspace.set("lab")
    current_caller.set("key:ci")
    job = await store.create("drill", "r1", {"n": 1})
    paused = await store.create("drill", "r2", {})
    await store.request_pause(paused.job_id)
    used_up.set("The workspace lab has 1 of 1 jobs.\nCancel one.")
    assert await store.create("drill", "r1", {"n": 1}) == job
    assert (job.workspace_id, job.caller) == ("lab", "key:ci")
    for making in (store.create("drill", "r3", {}), store.resume(paused.job_id)):
        with pytest.raises(QuotaExceeded, match="has 1 of 1 jobs"):
            await making
    assert len((await store.list("drill"))[0]) == 2
    assert await store.resume(job.job_id) == job, "it is queued already"
    used_up.set("")
    assert (await store.resume(paused.job_id)).state is JobState.QUEUED


async def test_tokens_that_were_noted_while_the_database_is_away_are_stored_when_it_is_back() -> None:
    class Away:
        def session(self) -> Any:
            raise DatabaseAway("The database is locked.")

    database: Any = Away()
    usage = Usage(database, JobRunner(MemoryJobStore(), owner="me"))
    await usage.write()
    for _ in range(2):
        usage.note_tokens(7)
        with pytest.raises(DatabaseAway):
            await usage.write()
    assert usage._noted == {"default": 14}
