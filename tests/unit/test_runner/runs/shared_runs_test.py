"""A run that several replicas work on: window by window, each once, with the answers of one replica."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Literal

import pytest

from services.chassis.jobs import Job, JobState
from services.protocols.profile import get_profile
from services.test_runner.domain.test_run import KIND, SHARE_KIND, Environment, Hold, RunRecord
from services.test_runner.domain.transcript import Transcript
from services.test_runner.jobs import run_share
from services.test_runner.jobs.invitations import Invitations, Likeness
from services.test_runner.jobs.test_run import CaseReader
from services.test_runner.jobs.windows import SharedRun
from services.test_runner.ports.generation import BackendFaultError, GenerationEvent, Workload
from services.test_runner.store.sql import SqlRunStore
from tests.machine import PATIENCE_SECONDS
from tests.unit.run_specs import run_spec
from tests.unit.test_runner.bench import SPEC, Bench, FakeBackend

CASES = tuple(get_profile("roo_xml").draw(1, 22, categories=("single_call",)))
NUM_WINDOWS = 6


@asynccontextmanager
async def at_work(*replicas: Bench) -> AsyncIterator[None]:
    """Let replicas work for the length of a block; the runner of one that is at work already goes on."""
    for replica in replicas:
        if not replica.runner.running:
            await replica.runner.start()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield
    finally:
        for replica in replicas:
            await replica.runner.stop(1.0)


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    while not await is_so():
        await asyncio.sleep(0.02)


async def ended(bench: Bench, job_id: str) -> Job:
    async def has_ended() -> bool:
        return (await bench.jobs.get(job_id)).is_final

    await until(has_ended)
    return await bench.jobs.get(job_id)


def answers(transcripts: list[Transcript]) -> list[Transcript]:
    return [replace(item, test_run_id="") for item in transcripts]


async def answers_of_one() -> list[Transcript]:
    alone = Bench(FakeBackend(), cases=CASES)
    run = await alone.usecases.create("r", SPEC)
    async with at_work(alone):
        await ended(alone, run.job.job_id)
    return answers(await alone.transcripts(run.job.job_id))


async def held_run(event: asyncio.Event) -> tuple[Bench, str]:
    """Return a replica at work on a run, whose first window is held until the event, and the run's id."""
    first = Bench(window_held_until(event), cases=CASES, replica="first")
    run = await first.usecases.create("r", SPEC)
    await first.runner.start()

    async def is_held() -> bool:
        return bool(first.backend.workloads)

    await until(is_held)
    return first, run.job.job_id


def window_held_until(event: asyncio.Event) -> FakeBackend:
    return FakeBackend(on_prepared=event.wait)


async def test_replicas_share_a_run_and_answer_as_one_would() -> None:
    goes_on = asyncio.Event()
    first, run_id = await held_run(goes_on)
    second = first.restart(FakeBackend(), "second")

    async def others_are_stored() -> bool:
        record = await first.store.get_run(run_id)
        assert record is not None and record.num_transcripts == 0
        return len(await first.store.stored_cases(run_id)) == len(CASES) - 4

    async with at_work(first, second):
        await until(others_are_stored)
        # Nobody sees what is stored behind a window that is still in work.
        assert await first.transcripts(run_id) == []
        goes_on.set()
        job = await ended(first, run_id)
    assert job.result == {"num_transcripts": 22, "num_generated_tokens": 66}
    assert answers(await first.transcripts(run_id)) == await answers_of_one()
    assert (len(first.backend.workloads), len(second.backend.workloads)) == (1, NUM_WINDOWS - 1)


@pytest.mark.parametrize(("shares", "num_shares"), [("all", 1), ("weights", 0), ("none", 0)])
async def test_a_run_at_an_endpoint_is_shared_where_each_replica_may_ask_as_much(
    shares: Literal["none", "weights", "all"], num_shares: int
) -> None:
    first = Bench(FakeBackend(), cases=CASES, replica="first", shares=shares)
    spec = run_spec(test_suite_version_id="roo_xml/core", endpoint={"base_url": "http://127.0.0.1:1/v1", "model": "m"})
    run = await first.usecases.create("r", spec)
    async with at_work(first):
        assert (await ended(first, run.job.job_id)).state is JobState.SUCCEEDED
    assert len((await first.jobs.list(SHARE_KIND))[0]) == num_shares


async def test_the_window_of_a_replica_that_dies_is_taken_again() -> None:
    goes_on = asyncio.Event()
    first, run_id = await held_run(goes_on)
    second = first.restart(FakeBackend(blocks_call=2), "second")
    async with at_work(first):
        async with at_work(second):
            await second.backend.reached.wait()
        goes_on.set()
        assert (await ended(first, run_id)).state is JobState.SUCCEEDED
    assert answers(await first.transcripts(run_id)) == await answers_of_one()
    asked = [prompt.key for bench in (first, second) for load in bench.backend.workloads for prompt in load.prompts]
    assert len(asked) == len(CASES) + 4


async def test_a_run_whose_holder_dies_is_gone_on_with_by_who_shared_it() -> None:
    first, run_id = await held_run(asyncio.Event())
    second = first.restart(FakeBackend(), "second")

    async def is_shared() -> bool:
        return bool(await first.store.stored_cases(run_id))

    async with at_work(first, second):
        await until(is_shared)
        await first.runner.stop(1.0)
        job = await ended(second, run_id)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2)
    assert answers(await second.transcripts(run_id)) == await answers_of_one()


async def test_a_paused_run_waits_for_the_windows_of_others_and_a_resumed_one_keeps_them() -> None:
    goes_on, others = asyncio.Event(), asyncio.Event()
    first, run_id = await held_run(goes_on)
    second = first.restart(window_held_until(others), "second")

    async def second_works() -> bool:
        return bool(second.backend.workloads)

    async def state() -> JobState:
        return (await first.jobs.get(run_id)).state

    async def is_paused() -> bool:
        return await state() is JobState.PAUSED

    async def first_has_stored() -> bool:
        return len(await first.transcripts(run_id)) == 4

    async with at_work(first, second):
        await until(second_works)
        await first.usecases.resource.pause(run_id)
        goes_on.set()
        await until(first_has_stored)
        assert await state() is JobState.PAUSING
        others.set()
        await until(is_paused)
        assert len(await first.transcripts(run_id)) == 8
        await first.usecases.resource.resume(run_id)
        assert (await ended(first, run_id)).state is JobState.SUCCEEDED
    assert answers(await first.transcripts(run_id)) == await answers_of_one()


async def test_a_cancelled_run_stops_those_who_share_it() -> None:
    first, run_id = await held_run(asyncio.Event())
    second = first.restart(FakeBackend(blocks_call=1), "second")

    async def second_has_stopped() -> bool:
        return second.backend.num_closed == 1 and not second.runner.running

    async with at_work(first, second):
        await second.backend.reached.wait()
        await first.usecases.resource.cancel(run_id)
        assert (await ended(first, run_id)).state is JobState.CANCELLED
        await until(second_has_stopped)
        await first.usecases.resource.delete(run_id)
    assert await first.store.stored_cases(run_id) == frozenset()
    assert [job for job in (await first.jobs.list(SHARE_KIND))[0] if job.spec["test_run_id"] == run_id] == []


async def test_a_replica_that_would_answer_by_other_means_leaves_the_run_to_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run_share, "_TURN_SECONDS", 0.0)
    goes_on = asyncio.Event()
    first, run_id = await held_run(goes_on)
    second = first.restart(FakeBackend(environment=Environment("float32", 7)), "second")

    async def second_has_left() -> bool:
        return second.backend.num_closed == run_share._MOST_INVITATIONS and not second.runner.running

    async with at_work(first, second):
        await until(second_has_left)
        goes_on.set()
        assert (await ended(first, run_id)).state is JobState.SUCCEEDED
    assert len(first.backend.workloads) == NUM_WINDOWS
    assert answers(await first.transcripts(run_id)) == await answers_of_one()


async def test_who_cannot_help_asks_the_next() -> None:
    goes_on = asyncio.Event()
    first, run_id = await held_run(goes_on)
    second = first.restart(FakeBackend(environment=Environment("float32", 7)), "second")
    third = first.restart(FakeBackend(), "third")

    async def third_has_helped() -> bool:
        return bool(await first.store.stored_cases(run_id))

    async with at_work(first, second, third):
        await until(third_has_helped)
        goes_on.set()
        assert (await ended(first, run_id)).state is JobState.SUCCEEDED
    assert answers(await first.transcripts(run_id)) == await answers_of_one()


async def test_a_replica_whose_workers_die_leaves_no_case_unanswered() -> None:
    goes_on = asyncio.Event()
    first, run_id = await held_run(goes_on)

    def die(_call: int, place: int) -> None:
        if place == 1:
            raise BackendFaultError("The worker was killed.")

    second = first.restart(FakeBackend(before=die), "second")

    async def second_has_left() -> bool:
        return second.backend.num_closed > 1

    async with at_work(first, second):
        await until(second_has_left)
        goes_on.set()
        assert (await ended(first, run_id)).state is JobState.SUCCEEDED
    assert answers(await first.transcripts(run_id)) == await answers_of_one()


async def test_a_run_of_which_nothing_is_stored_is_not_bound_to_what_its_lost_holder_would_have_used() -> None:
    first, run_id = await held_run(asyncio.Event())

    async def environment() -> Environment:
        record = await first.store.get_run(run_id)
        assert record is not None
        return record.environment

    async def is_fixed() -> bool:
        return await environment() == first.backend.environment

    await until(is_fixed)
    await first.runner.stop(1.0)
    second = first.restart(FakeBackend(environment=Environment("float32", 7, device="cpu")), "second")
    async with at_work(second):
        assert (await ended(second, run_id)).state is JobState.SUCCEEDED
    asked = second.backend.workloads[0]
    assert (asked.dtype, asked.num_threads, asked.device) == ("", 0, "")
    assert await environment() == second.backend.environment


class StoreOfAnother(SqlRunStore):
    """A store in which a window of another process came first."""

    async def set_environment(self, test_run_id: str, hold: Hold, environment: Environment) -> RunRecord:
        record = await self.get_run(test_run_id)
        assert record is not None
        return replace(record, environment=Environment("float32", 7), num_ahead=4)


async def test_who_begins_a_run_of_which_another_has_just_stored_a_window_begins_again_as_that_did() -> None:
    bench = Bench(FakeBackend(), cases=CASES, replica="first")
    store = StoreOfAnother(bench.store._database)
    run = await bench.usecases.create("r", SPEC)
    assert run.record is not None
    invitations = Invitations(bench.jobs, run.job.job_id, epoch=1, likeness=Likeness.here())
    hold, case_of = Hold(run.job.job_id, 1), CaseReader(bench.registry, run.record.inputs).case_of
    shared = SharedRun(store, run.record, SPEC, hold=hold, invitations=invitations, case_of=case_of)
    with pytest.raises(BackendFaultError, match="other means"):
        await shared.prepared(bench.backend.environment)
    assert shared.record.environment == Environment("float32", 7)


@pytest.mark.parametrize("what", ["release", "processors", "profile_digest"])
async def test_a_replica_of_another_kind_takes_no_window(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setattr(run_share, "_TURN_SECONDS", 0.0)
    goes_on = asyncio.Event()
    first, run_id = await held_run(goes_on)
    second = first.restart(FakeBackend(), "second")
    here = Likeness.here()
    if what == "profile_digest":
        monkeypatch.setattr(run_share, what, lambda *_: "another")
    else:
        monkeypatch.setattr(Likeness, "here", lambda: replace(here, **{what: "another"}))

    async def all_have_left() -> bool:
        shares, _ = await first.jobs.list(SHARE_KIND)
        return len(shares) == run_share._MOST_INVITATIONS and all(share.is_final for share in shares)

    async with at_work(first, second):
        await until(all_have_left)
        assert second.backend.workloads == []
        # Who leaves passes on what the holder is like, not itself.
        assert {Likeness.of(share.spec) for share in (await first.jobs.list(SHARE_KIND))[0]} == {here}
        goes_on.set()
        assert (await ended(first, run_id)).state is JobState.SUCCEEDED


async def test_the_time_of_those_who_share_a_run_is_counted() -> None:
    goes_on = asyncio.Event()
    first, run_id = await held_run(goes_on)
    second = first.restart(FakeBackend(), "second")

    async def others_are_stored() -> bool:
        return len(await first.store.stored_cases(run_id)) == len(CASES) - 4 and not second.runner.running

    async with at_work(first, second):
        await until(others_are_stored)
        goes_on.set()
        job = await ended(first, run_id)
    record = await first.store.get_run(run_id)
    assert record is not None and record.helped_seconds > 0 and job.worked_seconds is not None
    run = await first.usecases.resource.get(run_id)
    assert run.job.worked_seconds == job.worked_seconds + record.helped_seconds


async def test_an_invitation_to_a_run_that_was_deleted_leaves_nothing() -> None:
    first = Bench(FakeBackend(), cases=CASES, replica="first")
    run_id = (await first.usecases.create("r", SPEC)).job.job_id
    await first.usecases.resource.cancel(run_id)
    await first.usecases.resource.delete(run_id)
    await Invitations(first.jobs, run_id, epoch=1, likeness=Likeness.here()).send()
    assert (await first.jobs.list(SHARE_KIND))[0] == []


class LoadingBackend(FakeBackend):
    """A backend whose model is never there."""

    async def generate(self, workload: Workload) -> AsyncGenerator[GenerationEvent]:
        await asyncio.Event().wait()
        async for event in super().generate(workload):
            yield event


async def test_a_replica_that_loads_for_too_long_gives_its_window_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_share, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(run_share, "_PREPARE_SECONDS", 0.1)
    goes_on = asyncio.Event()
    first, run_id = await held_run(goes_on)
    second = first.restart(LoadingBackend(), "second")

    async def second_has_left() -> bool:
        shares, _ = await first.jobs.list(SHARE_KIND)
        return [share.is_final for share in shares] == [True]

    async with at_work(first, second):
        await until(second_has_left)
        goes_on.set()
        assert (await ended(first, run_id)).state is JobState.SUCCEEDED
    assert len(first.backend.workloads) == NUM_WINDOWS
    assert answers(await first.transcripts(run_id)) == await answers_of_one()


@pytest.mark.parametrize("has_lost_its_holder", [False, True])
async def test_a_run_that_waits_goes_before_a_share(has_lost_its_holder: bool) -> None:
    goes_on, others = asyncio.Event(), asyncio.Event()
    first, run_id = await held_run(goes_on)
    second = first.restart(window_held_until(others), "second")

    async def second_works() -> bool:
        return bool(second.backend.workloads)

    async with at_work(first, second):
        await until(second_works)
        later = (await first.usecases.create("later", SPEC)).job.job_id
        if has_lost_its_holder:
            assert await first.jobs.claim([KIND], "a replica that dies", 0.01)
            await asyncio.sleep(0.02)
        others.set()
        assert (await ended(first, later)).state is JobState.SUCCEEDED
        # The share had one window, and the whole later run came before the next.
        asked = [workload.test_run_id for workload in second.backend.workloads]
        assert asked[: 1 + NUM_WINDOWS] == [run_id] + [later] * NUM_WINDOWS
        goes_on.set()
        assert (await ended(first, run_id)).state is JobState.SUCCEEDED
    assert answers(await first.transcripts(run_id)) == await answers_of_one()
