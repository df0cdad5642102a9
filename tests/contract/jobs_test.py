"""What every job store promises, over memory, SQLite and PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from sqlalchemy import text

from services.chassis.application import JOB_MIGRATIONS
from services.chassis.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from services.chassis.jobs import Job, JobError, JobState, JobStore, Json, SqlJobStore, watch
from tests.contract.conftest import OpenDatabase
from tests.machine import PATIENCE_SECONDS
from tests.unit.chassis.jobs.memory_store import MemoryJobStore

LEASE = 30.0


@dataclass
class Stores:
    """Two processes' views of one store, and a way to let leases run out."""

    first: JobStore
    second: JobStore
    pass_time: Callable[[float], Awaitable[None]]


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def stores(request: pytest.FixtureRequest, open_database: OpenDatabase) -> AsyncIterator[Stores]:
    now = 1000.0

    def clock() -> float:
        return now

    async def advance(seconds: float) -> None:
        nonlocal now
        now += seconds

    if request.param == "memory":
        memory = MemoryJobStore(clock)
        yield Stores(memory, memory, advance)
        return
    database = await open_database(request.param, JOB_MIGRATIONS)

    async def shorten_leases(seconds: float) -> None:
        async with database.session() as session:
            await session.execute(text("UPDATE jobs SET lease_until = lease_until - :s"), {"s": seconds})

    first, second = SqlJobStore(database, clock), SqlJobStore(database, clock)
    yield Stores(first, second, advance if database.is_sqlite else shorten_leases)


async def claimed(store: JobStore, owner: str = "a") -> Job:
    job = await store.claim(["drill"], owner, LEASE)
    assert job is not None
    return job


async def running(store: JobStore) -> Job:
    await store.create("drill", "r1", {"n": 1})
    return await claimed(store)


async def history(store: JobStore, job_id: str) -> list[str]:
    return [event.payload["state"] for event in await store.events(job_id) if event.type == "state"]


async def test_a_created_job_is_stored_with_its_first_event(stores: Stores) -> None:
    spec = {"model": "märchen \u2028 \U0001f40e", "seeds": [1, 2], "nested": {"a": None, "x": 0.1}}
    job = await stores.first.create("drill", "r1", spec)
    assert (job.state, job.attempt, job.epoch, job.last_sequence) == (JobState.QUEUED, 0, 0, 1)
    assert await stores.second.get(job.job_id) == job
    assert job.spec == spec
    assert await history(stores.second, job.job_id) == ["QUEUED"]


async def test_fifty_equal_creates_at_once_make_one_job(stores: Stores) -> None:
    both = (stores.first, stores.second)
    jobs = await asyncio.gather(*(both[i % 2].create("drill", "same", {"n": 1}) for i in range(50)))
    assert len({job.job_id for job in jobs}) == 1
    found, _ = await stores.first.list("drill")
    assert found == [jobs[0]]


async def test_a_request_id_with_another_body_is_refused_naming_the_field(stores: Stores) -> None:
    await stores.first.create("drill", "r1", {"suite": {"id": "core", "version": 1}})
    with pytest.raises(AlreadyExists, match=r"suite\.version") as caught:
        await stores.first.create("drill", "r1", {"suite": {"id": "core", "version": 2}})
    assert caught.value.fields == {"field": "suite.version"}
    with pytest.raises(AlreadyExists, match="extra"):
        await stores.first.create("drill", "r1", {"suite": {"id": "core", "version": 1}, "extra": None})
    assert await stores.first.count() == {("drill", "QUEUED"): 1}


async def test_an_earlier_spec_is_compared_as_this_release_would_store_it(stores: Stores) -> None:
    def rewrite(earlier: Json) -> Json:
        return {name: value for name, value in earlier.items() if value}

    first = await stores.first.create("drill", "r1", {"n": 1, "added_since": 0})
    again = await stores.second.create("drill", "r1", {"n": 1}, rewrite=rewrite)
    assert (again.job_id, again.spec) == (first.job_id, first.spec)
    with pytest.raises(AlreadyExists, match="n"):
        await stores.second.create("drill", "r1", {"n": 2}, rewrite=rewrite)


async def test_request_ids_count_per_kind_and_empty_ones_never(stores: Stores) -> None:
    ids = {
        (await stores.first.create(kind, request_id, {})).job_id
        for kind, request_id in (("drill", "r1"), ("import", "r1"), ("drill", ""), ("drill", ""))
    }
    assert len(ids) == 4


async def test_a_taken_job_id_is_refused(stores: Stores) -> None:
    await stores.first.create("drill", "r1", {}, job_id="j1")
    with pytest.raises(AlreadyExists, match="j1"):
        await stores.first.create("drill", "r2", {}, job_id="j1")


async def test_what_is_not_json_is_refused_and_leaves_nothing(stores: Stores) -> None:
    for spec in ({"x": float("nan")}, {"x": {1, 2}}):
        with pytest.raises(InvalidArgument, match="JSON"):
            await stores.first.create("drill", "r1", spec)
    assert await stores.first.count() == {}


@pytest.mark.parametrize("request_id", ["a\0b", "line\nbreak", "x" * 201, "\udcff"])
async def test_an_odd_request_id_is_refused(stores: Stores, request_id: str) -> None:
    with pytest.raises(InvalidArgument, match="request id"):
        await stores.first.create("drill", request_id, {})


async def test_any_text_is_kept_as_it_is(stores: Stores) -> None:
    spec = {"text": "NUL \0, half a pair \ud83d, \u2028, \x1b[31m", "big": 2**80}
    job = await stores.first.create("drill", "r1", spec)
    assert (await stores.second.get(job.job_id)).spec == spec


async def test_an_id_that_nothing_can_have_is_not_an_internal_error(stores: Stores) -> None:
    with pytest.raises((NotFound, InvalidArgument)):
        await stores.first.get("a\0b")


async def test_unknown_ids_are_not_found(stores: Stores) -> None:
    store = stores.first
    for call in (store.get, store.events, store.request_cancel, store.request_pause, store.resume):
        with pytest.raises(NotFound, match="nope"):
            await call("nope")


async def test_lists_are_newest_first_and_page_without_gaps(stores: Stores) -> None:
    for n in range(7):
        await stores.first.create("drill", f"r{n}", {"n": n})
    await stores.first.create("import", "other", {})
    seen, token = [], ""
    while True:
        jobs, token = await stores.second.list("drill", 3, token)
        seen += [job.spec["n"] for job in jobs]
        if not token:
            break
    assert seen == [6, 5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    "arguments", [(-1, ""), (1001, ""), (0, "rubbish!"), (0, "bm90IGEgbnVtYmVy"), (0, "x" * 10_000)]
)
async def test_a_wrong_page_is_refused(stores: Stores, arguments: tuple[int, str]) -> None:
    with pytest.raises(InvalidArgument):
        await stores.first.list("drill", *arguments)


async def test_a_page_has_as_many_jobs_as_were_asked_for(stores: Stores) -> None:
    for n in range(203):
        await stores.first.create("drill", f"r{n}", {"n": n})
    jobs, token = await stores.second.list("drill", 202)
    assert len(jobs) == 202 and token
    assert len((await stores.second.list("drill", 1000))[0]) == 203


async def test_the_oldest_job_of_the_wanted_kinds_is_claimed_first(stores: Stores) -> None:
    await stores.first.create("import", "r0", {})
    for n in range(2):
        await stores.first.create("drill", f"r{n}", {"n": n})
    job = await claimed(stores.first)
    assert (job.spec, job.state, job.attempt, job.epoch, job.owner) == ({"n": 0}, JobState.RUNNING, 1, 1, "a")
    assert job.start_time is not None
    assert await stores.first.claim([], "a", LEASE) is None
    assert await stores.first.claim(["export"], "a", LEASE) is None


async def test_many_claimers_never_share_a_job(stores: Stores) -> None:
    for n in range(10):
        await stores.first.create("drill", f"r{n}", {})
    both = (stores.first, stores.second)
    claims = await asyncio.gather(*(both[i % 2].claim(["drill"], f"o{i}", LEASE) for i in range(16)))
    ids = [job.job_id for job in claims if job is not None]
    while (late := await stores.first.claim(["drill"], "late", LEASE)) is not None:
        ids.append(late.job_id)
    assert len(ids) == len(set(ids)) == 10


async def test_a_live_lease_is_never_taken_and_a_renewed_one_lasts(stores: Stores) -> None:
    job = await running(stores.first)
    await stores.pass_time(LEASE - 5)
    assert await stores.second.claim(["drill"], "b", LEASE) is None
    await stores.first.renew(job.job_id, job.epoch, LEASE)
    await stores.pass_time(LEASE - 5)
    assert await stores.second.claim(["drill"], "b", LEASE) is None


async def test_an_owner_that_slept_past_its_lease_is_fenced_from_every_write(stores: Stores) -> None:
    old = await running(stores.first)
    await stores.first.save_checkpoint(old.job_id, old.epoch, {"unit": 3})
    await stores.pass_time(LEASE + 1)
    new = await claimed(stores.second, "b")
    assert (new.job_id, new.epoch, new.attempt, new.owner, new.saved) == (old.job_id, 2, 2, "b", {"unit": 3})
    before = await stores.second.get(old.job_id)
    late = stores.first
    for write in (
        late.renew(old.job_id, old.epoch, LEASE),
        late.release(old.job_id, old.epoch),
        late.append_event(old.job_id, old.epoch, "unit", {}),
        late.set_progress(old.job_id, old.epoch, {"done": 1}),
        late.save_checkpoint(old.job_id, old.epoch, {}),
        late.finish(old.job_id, old.epoch, JobState.SUCCEEDED, result={}),
        late.decline_pause(old.job_id, old.epoch, "no"),
    ):
        with pytest.raises(FailedPrecondition, match="epoch 2"):
            await write
    assert await stores.second.get(old.job_id) == before
    assert [event.type for event in await late.events(old.job_id)] == ["state", "state", "attempt"]


async def test_a_released_job_is_claimable_at_once(stores: Stores) -> None:
    job = await running(stores.first)
    await stores.first.release(job.job_id, job.epoch)
    assert (await stores.first.get(job.job_id)).state is JobState.RUNNING
    assert (await claimed(stores.second, "b")).epoch == job.epoch + 1


async def test_the_only_owner_takes_all_leases_over(stores: Stores) -> None:
    await running(stores.first)
    await stores.first.create("import", "r9", {})
    assert await stores.second.claim(["import"], "a", LEASE) is not None
    assert await stores.second.take_over_all(["drill"]) == 1
    assert (await claimed(stores.second, "b")).epoch == 2
    assert await stores.second.claim(["import"], "b", LEASE) is None


async def test_cancelling_ends_a_waiting_job_and_asks_a_running_one(stores: Stores) -> None:
    waiting = await stores.first.create("drill", "r0", {})
    assert (await stores.first.request_cancel(waiting.job_id)).state is JobState.CANCELLED
    job = await running(stores.first)
    assert (await stores.second.request_cancel(job.job_id)).state is JobState.CANCELLING
    assert (await stores.second.request_cancel(job.job_id)).state is JobState.CANCELLING
    ended = await stores.first.finish(job.job_id, job.epoch, JobState.CANCELLED)
    assert ended.end_time is not None
    assert await history(stores.first, job.job_id) == ["QUEUED", "RUNNING", "CANCELLING", "CANCELLED"]


async def test_an_accepted_cancel_wins_over_work_that_ends_at_the_same_moment(stores: Stores) -> None:
    job = await running(stores.first)
    await stores.second.request_cancel(job.job_id)
    ended = await stores.first.finish(job.job_id, job.epoch, JobState.SUCCEEDED, result={"kept": True})
    assert (ended.state, ended.result) == (JobState.CANCELLED, {"kept": True})


async def test_a_pause_saves_first_and_a_resume_queues_again(stores: Stores) -> None:
    job = await running(stores.first)
    assert (await stores.second.request_pause(job.job_id)).state is JobState.PAUSING
    await stores.first.save_checkpoint(job.job_id, job.epoch, {"step": 5})
    paused = await stores.first.finish(job.job_id, job.epoch, JobState.PAUSED)
    assert (paused.state, paused.owner, paused.end_time) == (JobState.PAUSED, None, None)
    assert await stores.first.claim(["drill"], "a", LEASE) is None
    await stores.first.resume(job.job_id)
    again = await claimed(stores.first)
    assert (again.saved, again.attempt, again.epoch) == ({"step": 5}, 2, 2)


async def test_a_pause_that_cannot_be_kept_returns_to_running_with_its_reason(stores: Stores) -> None:
    job = await running(stores.first)
    await stores.first.request_pause(job.job_id)
    assert (await stores.first.decline_pause(job.job_id, job.epoch, "no checkpoint yet")).state is JobState.RUNNING
    last = (await stores.first.events(job.job_id))[-1]
    assert last.payload == {"state": "RUNNING", "pause_declined": "no checkpoint yet"}


async def test_a_job_may_not_pause_or_end_as_it_likes(stores: Stores) -> None:
    job = await running(stores.first)
    with pytest.raises(FailedPrecondition, match="RUNNING and cannot become PAUSED"):
        await stores.first.finish(job.job_id, job.epoch, JobState.PAUSED)
    with pytest.raises(InvalidArgument, match="cannot end as QUEUED"):
        await stores.first.finish(job.job_id, job.epoch, JobState.QUEUED)


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED])
async def test_a_final_state_never_changes(stores: Stores, state: JobState) -> None:
    job = await running(stores.first)
    store, error = stores.first, JobError("INTERNAL", "It broke.", "Try again.")
    if state is JobState.CANCELLED:
        await store.request_cancel(job.job_id)
    await store.finish(job.job_id, job.epoch, state, error=error if state is JobState.FAILED else None)
    before = await store.get(job.job_id)
    calls = [
        store.request_pause(job.job_id),
        store.resume(job.job_id),
        store.set_progress(job.job_id, job.epoch, {}),
        store.append_event(job.job_id, job.epoch, "unit", {}),
        store.finish(job.job_id, job.epoch, JobState.SUCCEEDED),
    ]
    if state is not JobState.CANCELLED:
        calls.append(store.request_cancel(job.job_id))
    for call in calls:
        with pytest.raises(FailedPrecondition):
            await call
    await stores.pass_time(LEASE * 10)
    assert await store.claim(["drill"], "b", LEASE) is None
    assert await store.take_over_all(["drill"]) == 0
    assert await store.get(job.job_id) == before
    assert before.error == (error if state is JobState.FAILED else None)


async def test_events_have_no_gaps_and_read_back_in_pages(stores: Stores) -> None:
    job = await running(stores.first)
    for n in range(5):
        event = await stores.first.append_event(job.job_id, job.epoch, "unit", {"n": n})
        assert event.sequence == n + 3
    await stores.first.set_progress(job.job_id, job.epoch, {"done": 5, "total": 9})
    events = await stores.second.events(job.job_id)
    assert [event.sequence for event in events] == list(range(1, 9))
    assert await stores.second.events(job.job_id, 2, 3) == events[2:5]
    current = await stores.second.get(job.job_id)
    assert (current.progress, current.last_sequence) == ({"done": 5, "total": 9}, 8)


@pytest.mark.parametrize("type_", ["state", "progress", "attempt"])
async def test_the_stores_own_event_types_are_not_for_others(stores: Stores, type_: str) -> None:
    job = await running(stores.first)
    with pytest.raises(InvalidArgument, match=type_):
        await stores.first.append_event(job.job_id, job.epoch, type_, {})


async def test_jobs_are_counted_by_kind_and_state(stores: Stores) -> None:
    await running(stores.first)
    await stores.first.create("drill", "r2", {})
    await stores.first.create("import", "r3", {})
    counts = {("drill", "RUNNING"): 1, ("drill", "QUEUED"): 1, ("import", "QUEUED"): 1}
    assert await stores.second.count() == counts


async def test_a_watcher_gets_each_event_once_stored_ones_first(stores: Stores) -> None:
    job = await running(stores.first)
    await stores.first.append_event(job.job_id, job.epoch, "unit", {"n": 0})

    async def watch_from(after: int) -> list[int]:
        return [event.sequence async for event in watch(stores.first, job.job_id, after)]

    watchers = [asyncio.create_task(watch_from(after)) for after in (0, 2)]
    for n in range(1, 6):
        await stores.first.append_event(job.job_id, job.epoch, "unit", {"n": n})
        await asyncio.sleep(0)
    await stores.first.finish(job.job_id, job.epoch, JobState.SUCCEEDED, result={})
    all_events, later = await asyncio.wait_for(asyncio.gather(*watchers), PATIENCE_SECONDS)
    assert all_events == list(range(1, 10))
    assert later == list(range(3, 10))
    assert await watch_from(9) == []
    assert await watch_from(8) == [9]


async def test_a_watcher_sees_what_another_process_does(stores: Stores) -> None:
    job = await running(stores.second)
    stream = watch(stores.first, job.job_id, job.last_sequence)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.05)
    await stores.second.append_event(job.job_id, job.epoch, "unit", {})
    assert (await asyncio.wait_for(waiting, PATIENCE_SECONDS)).type == "unit"
    await stream.aclose()


@pytest.mark.parametrize("after", [-1, 3])
async def test_a_watcher_from_beyond_the_history_is_refused(stores: Stores, after: int) -> None:
    job = await running(stores.first)
    with pytest.raises(InvalidArgument, match="newest is 2"):
        await anext(watch(stores.first, job.job_id, after))


async def test_a_job_is_deleted_with_its_history_once_it_has_ended(stores: Stores) -> None:
    await stores.first.create("drill", "gone", {}, job_id="gone")
    with pytest.raises(FailedPrecondition, match="Cancel it first"):
        await stores.first.delete("gone")
    job = await claimed(stores.first)
    await stores.first.finish(job.job_id, job.epoch, JobState.SUCCEEDED)
    await stores.second.delete(job.job_id)
    assert await stores.first.list("drill") == ([], "")
    await stores.first.create("drill", "gone", {}, job_id="gone")
    assert [event.payload["state"] for event in await stores.first.events("gone")] == ["QUEUED"]
