"""One suite over every store of loops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace

import pytest

from services.chassis.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from services.chassis.jobs import JobState, JobStore, SqlJobStore
from services.chassis.wire import from_document
from services.feedback.decisions.decision import DecisionChange, TrainingMethod
from services.feedback.domain.loop import LOOP_KIND, Inputs, job_result, job_state
from services.feedback.domain.rounds import STEP_EVENT, Rates, Round, Stop, StopReason
from services.feedback.domain.spec import LoopSpec
from services.feedback.domain.work import SuiteVersion
from services.feedback.store.jobs import MIGRATIONS, JobLoopStore, SqlLoopAnswers
from tests.contract.conftest import OpenDatabase
from tests.unit.chassis.jobs.memory_store import MemoryJobStore
from tests.unit.feedback.bench import MemoryAnswers

KINDS = ("memory", "sqlite", "postgresql")
ASKED = from_document(
    LoopSpec,
    {
        "model_version_id": "tiny",
        "test_suite_version_id": "roo_xml/core",
        "goals": [{"metric": "conforming_rate", "minimum": 0.8}, {"metric": "accepted_rate", "minimum": 0.9}],
        "budget": {"max_rounds": 2, "max_minutes": 10.5},
        "seed": 2**40,
        "training": {"batch_size": 8, "lora": {"r": 8}},
    },
)
INPUTS = Inputs("tiny@1", SuiteVersion("roo_xml/core@1", "roo_xml"))
ROUNDS = (
    Round(0, model_version_id="tiny@1", test_run_id="run", evaluation_id="judged", rates=Rates(0.25, 0.5, 0.75)),
    Round(1, model_version_id="tiny@2", probe_test_suite_version_id="roo_xml/probe@1"),
)


@dataclass
class Stores:
    jobs: JobStore
    loops: JobLoopStore

    async def running(self, request_id: str = "") -> tuple[str, int]:
        """Create a loop that is being worked on, and return its id and epoch."""
        loop = await self.loops.create(request_id, ASKED, INPUTS)
        job = await self.jobs.claim([LOOP_KIND], "me", 60)
        assert job is not None and job.job_id == loop.loop_id
        return job.job_id, job.epoch


@pytest.fixture(params=KINDS)
async def stores(request: pytest.FixtureRequest, open_database: OpenDatabase) -> AsyncIterator[Stores]:
    if request.param == "memory":
        memory = MemoryJobStore()
        yield Stores(memory, JobLoopStore(memory, MemoryAnswers()))
        return
    database = await open_database(request.param, MIGRATIONS)
    jobs = SqlJobStore(database)
    yield Stores(jobs, JobLoopStore(jobs, SqlLoopAnswers(database)))


async def test_a_loop_is_kept_with_all_that_was_asked_and_named(stores: Stores) -> None:
    loop = await stores.loops.create("request", ASKED, INPUTS)
    kept = await stores.loops.get(loop.loop_id)
    assert (kept.asked, kept.inputs, kept.rounds, kept.stop) == (ASKED, INPUTS, (), None)
    assert kept.job.state is JobState.QUEUED and kept.best_model_version_id == ""


async def test_a_request_id_gives_one_loop_however_often_it_comes(stores: Stores) -> None:
    loops = await asyncio.gather(*(stores.loops.create("request", ASKED, INPUTS) for _ in range(20)))
    assert len({loop.loop_id for loop in loops}) == 1
    found = await stores.loops.find("request")
    assert found is not None and found.loop_id == loops[0].loop_id


async def test_a_request_id_with_another_spec_is_refused_by_the_name_of_the_field(stores: Stores) -> None:
    await stores.loops.create("request", ASKED, INPUTS)
    with pytest.raises(AlreadyExists) as raised:
        await stores.loops.create("request", replace(ASKED, seed=3), INPUTS)
    assert raised.value.fields["field"] == "spec.seed"


async def test_loops_without_a_request_id_are_never_the_same(stores: Stores) -> None:
    first, second = [await stores.loops.create("", ASKED, INPUTS) for _ in range(2)]
    assert first.loop_id != second.loop_id
    assert await stores.loops.find("") is None
    assert await stores.loops.find("never used") is None


async def test_rounds_result_and_best_version_are_read_from_the_job(stores: Stores) -> None:
    loop_id, epoch = await stores.running()
    await stores.jobs.save_checkpoint(loop_id, epoch, job_state(ROUNDS))
    assert (await stores.loops.get(loop_id)).rounds == ROUNDS
    assert (await stores.loops.get(loop_id)).best_model_version_id == "tiny@1"
    stop = Stop(StopReason.OUT_OF_TIME, "The budget is used up.")
    await stores.jobs.finish(loop_id, epoch, JobState.SUCCEEDED, result=job_result(stop))
    ended = await stores.loops.get(loop_id)
    assert (ended.stop, ended.rounds) == (stop, ROUNDS)


async def test_told_steps_are_read_over_more_than_one_page_of_history(stores: Stores) -> None:
    loop_id, epoch = await stores.running()
    for number in range(60):
        for state in ("started", "finished"):
            payload = {"round": number, "step": "test", "state": state}
            await stores.jobs.append_event(loop_id, epoch, STEP_EVENT, payload)
    told = await stores.loops.told_steps(loop_id)
    assert told == {(number, "test", state) for number in range(60) for state in ("started", "finished")}


async def test_lists_are_newest_first_and_pages_meet_without_a_gap(stores: Stores) -> None:
    created = [(await stores.loops.create("", ASKED, INPUTS)).loop_id for _ in range(5)]
    first, token = await stores.loops.list(3, "")
    second, end = await stores.loops.list(3, token)
    assert [loop.loop_id for loop in first + second] == created[::-1]
    assert end == ""
    with pytest.raises(InvalidArgument):
        await stores.loops.list(3, "not a token")


async def test_a_queued_loop_is_cancelled_at_once_and_says_so(stores: Stores) -> None:
    loop = await stores.loops.create("", ASKED, INPUTS)
    cancelled = await stores.loops.cancel(loop.loop_id)
    assert cancelled.job.state is JobState.CANCELLED
    assert cancelled.stop is not None and cancelled.stop.reason is StopReason.CANCELLED


async def test_an_ended_loop_cannot_be_cancelled(stores: Stores) -> None:
    loop_id, epoch = await stores.running()
    await stores.jobs.finish(loop_id, epoch, JobState.SUCCEEDED, result=job_result(Stop(StopReason.GOALS_MET, "Done.")))
    with pytest.raises(FailedPrecondition):
        await stores.loops.cancel(loop_id)


async def test_a_watch_ends_with_the_final_event_and_goes_on_where_it_is_asked_to(stores: Stores) -> None:
    loop_id, epoch = await stores.running()
    await stores.jobs.append_event(loop_id, epoch, STEP_EVENT, {"round": 0, "step": "test", "state": "started"})
    await stores.jobs.finish(loop_id, epoch, JobState.SUCCEEDED, result=job_result(Stop(StopReason.GOALS_MET, "Done.")))
    async with aclosing(stores.loops.watch(loop_id, 0)) as events:
        sequences = [(event.sequence, event.type) async for event in events]
    assert [sequence for sequence, _ in sequences] == list(range(1, len(sequences) + 1))
    assert sequences[-1][1] == "state"
    async with aclosing(stores.loops.watch(loop_id, 2)) as events:
        assert [(event.sequence, event.type) async for event in events] == sequences[2:]


@pytest.mark.parametrize("call", ["get", "cancel", "watch"])
async def test_an_unknown_loop_is_not_found_by_its_own_noun(stores: Stores, call: str) -> None:
    with pytest.raises(NotFound, match="There is no loop 'loop-x'"):
        if call == "get":
            await stores.loops.get("loop-x")
        elif call == "cancel":
            await stores.loops.cancel("loop-x")
        else:
            async with aclosing(stores.loops.watch("loop-x", 0)) as events:
                await anext(events)


async def test_the_first_answer_to_a_decision_counts_and_goes_with_the_loop(stores: Stores) -> None:
    loop_id, epoch = await stores.running()
    answers = stores.loops.answers
    change = DecisionChange(TrainingMethod.DPO, {"learning_rate": 1e-5, "dpo": {"beta": 0.2}}, 0, 0.25, go_on=False)
    approval = DecisionChange(None, {}, 0, None, go_on=False)
    assert await answers.find(loop_id, 1) is None
    assert await answers.give(loop_id, 1, change) == await answers.give(loop_id, 1, approval) == change
    assert await answers.give(loop_id, 2, approval) == approval
    assert await answers.find(loop_id, 1) == change
    await stores.jobs.finish(loop_id, epoch, JobState.SUCCEEDED, result=job_result(Stop(StopReason.GOALS_MET, "Done.")))
    await stores.loops.delete(loop_id)
    assert await answers.find(loop_id, 1) is None
