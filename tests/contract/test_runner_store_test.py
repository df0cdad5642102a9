"""One suite over every store of test runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from services.chassis.database import Database
from services.chassis.errors import FailedPrecondition, NotFound
from services.chassis.jobs import JobState, JobStore, SqlJobStore, append_events, fence
from services.test_runner.domain.test_run import SHARE_KIND, Artifact, Environment, Hold, RunInputs, RunRecord
from services.test_runner.domain.transcript import AnswerTurn, FinishReason, Message, ToolCall, Transcript
from services.test_runner.ports.store import RunStore
from services.test_runner.store.sql import MIGRATIONS, SqlRunStore
from tests.contract.conftest import OpenDatabase

KINDS = ("sqlite", "postgresql")
ENVIRONMENT = Environment("float32", 2, "sha256:template", {"torch": "2"}, {"server": "vLLM"})
INPUTS = RunInputs(
    model_version_id="tiny@2",
    test_suite_version_id="roo_xml/core@1",
    base=Artifact("file:///base", "sha256:base"),
    adapter=Artifact("file:///adapter", "sha256:adapter"),
    test_suite_digest="sha256:suite",
    profile_id="roo_xml",
    profile_digest="sha256:profile",
    num_cases=4,
    window_size=2,
)


@dataclass
class Stores:
    jobs: JobStore
    runs: RunStore
    database: Database

    async def running(self, run_id: str) -> int:
        """Add a run whose job is being worked on, and return the epoch."""
        await self.jobs.create("test_run", run_id, {}, job_id=run_id)
        job = await self.jobs.claim(["test_run"], "me", 60)
        assert job is not None and job.job_id == run_id
        await self.runs.add_run(RunRecord(run_id, INPUTS))
        return job.epoch

    async def shared(self, run_id: str) -> tuple[Hold, Hold]:
        """Add a run that is worked on and a share of it, and return the holds of both."""
        epoch = await self.running(run_id)
        await self.jobs.create(SHARE_KIND, "", {}, job_id=f"{run_id}-share-1-1")
        share = await self.jobs.claim([SHARE_KIND], "another", 60)
        assert share is not None
        return Hold(run_id, epoch), Hold(share.job_id, share.epoch)

    async def windows(self, run_id: str, hold: Hold) -> tuple[int | None, int]:
        """Return the window that a hold gets, and how many others have one."""
        claim = await self.runs.take_window(run_id, hold, 2)
        return claim.window, claim.num_others


def window(run_id: str, number: int) -> list[Transcript]:
    return [transcript(run_id, 2 * number + 1), transcript(run_id, 2 * number + 2)]


@pytest.fixture(params=KINDS)
async def stores(request: pytest.FixtureRequest, open_database: OpenDatabase) -> AsyncIterator[Stores]:
    database = await open_database(request.param, MIGRATIONS)
    yield Stores(SqlJobStore(database), SqlRunStore(database), database)


def transcript(run_id: str, sequence: int) -> Transcript:
    return Transcript(
        test_run_id=run_id,
        sequence=sequence,
        case_id=f"case-{sequence}",
        repeat=1,
        messages=(
            Message("user", "naïve \u0000 “quotes” \U0001f600"),
            Message("assistant", "", (ToolCall("call_0_0", "read", '{"path": "a"}'),)),
            Message("tool", "text", tool_call_id="call_0_0"),
            Message("assistant", "done"),
        ),
        finish_reason=FinishReason.LENGTH,
        token_ids=(5, 0, 70000),
        turns=(
            AnswerTurn(1, FinishReason.STOP, (5, 0), (-0.5, -1.25), 7, 3, 2, 0.125, 0.25, 0.5),
            AnswerTurn(3, FinishReason.LENGTH, (70000,), num_generated_tokens=1, detail="why"),
        ),
        stop="turn_budget",
        num_prompt_tokens=12,
        num_cached_tokens=10,
        prefill_seconds=0.25,
        decode_seconds=0.5,
    )


async def test_a_run_comes_back_as_it_was_stored(stores: Stores) -> None:
    await stores.running("run-1")
    assert await stores.runs.get_run("run-1") == RunRecord("run-1", INPUTS)


async def test_a_run_is_stored_once(stores: Stores) -> None:
    await stores.running("run-1")
    other = RunRecord("run-1", replace(INPUTS, adapter=None))
    assert (await stores.runs.add_run(other)).inputs == INPUTS


async def test_unknown_runs_are_absent(stores: Stores) -> None:
    await stores.running("run-1")
    assert await stores.runs.get_run("run-2") is None
    assert set(await stores.runs.get_runs(["run-1", "run-2"])) == {"run-1"}


async def test_a_window_comes_back_in_order_with_its_counts(stores: Stores) -> None:
    epoch = await stores.running("run-1")
    first = [transcript("run-1", 1), transcript("run-1", 2)]
    await stores.runs.append_window("run-1", Hold("run-1", epoch), ENVIRONMENT, first)
    record = await stores.runs.append_window("run-1", Hold("run-1", epoch), ENVIRONMENT, [transcript("run-1", 3)])
    assert record == RunRecord("run-1", INPUTS, ENVIRONMENT, num_transcripts=3, num_generated_tokens=9)
    assert await stores.runs.get_run("run-1") == record
    assert await stores.runs.list_transcripts("run-1", 0, 2) == tuple(first)
    assert [item.sequence for item in await stores.runs.list_transcripts("run-1", 2, 9)] == [3]


async def test_transcripts_without_an_answer_are_counted(stores: Stores) -> None:
    epoch = await stores.running("run-1")
    window = [transcript("run-1", 1), replace(transcript("run-1", 2), finish_reason=FinishReason.BACKEND_FAULT)]
    record = await stores.runs.append_window("run-1", Hold("run-1", epoch), ENVIRONMENT, window)
    assert (record.num_transcripts, record.num_unanswered) == (2, 1)


async def test_a_deleted_run_takes_its_transcripts_along_and_no_others(stores: Stores) -> None:
    for name in ("run-1", "run-2"):
        epoch = await stores.running(name)
        await stores.runs.append_window(name, Hold(name, epoch), ENVIRONMENT, [transcript(name, 1)])
    await stores.runs.delete_run("run-1")
    await stores.runs.delete_run("run-1")
    assert await stores.runs.get_run("run-1") is None
    assert await stores.runs.list_transcripts("run-1", 0, 9) == ()
    assert len(await stores.runs.list_transcripts("run-2", 0, 9)) == 1


async def test_a_transcript_is_found_by_its_id(stores: Stores) -> None:
    epoch = await stores.running("run-1")
    await stores.runs.append_window("run-1", Hold("run-1", epoch), ENVIRONMENT, [transcript("run-1", 1)])
    assert await stores.runs.get_transcript("run-1-1") == transcript("run-1", 1)
    assert await stores.runs.get_transcript("run-1-2") is None


async def test_a_window_is_stored_once_also_when_the_answer_was_lost_and_refused_where_it_leaves_a_gap(
    stores: Stores,
) -> None:
    epoch = await stores.running("run-1")
    window = [transcript("run-1", 1), transcript("run-1", 2)]
    for _ in range(2):
        await stores.runs.append_window("run-1", Hold("run-1", epoch), ENVIRONMENT, window)
    for others in ([transcript("run-1", 2), transcript("run-1", 3)], [transcript("run-1", 4)]):
        with pytest.raises(FailedPrecondition):
            await stores.runs.append_window("run-1", Hold("run-1", epoch), ENVIRONMENT, others)
    record = await stores.runs.get_run("run-1")
    assert record is not None and record.num_transcripts == 2


async def test_a_window_of_an_owner_that_was_replaced_is_refused(stores: Stores) -> None:
    epoch = await stores.running("run-1")
    await stores.jobs.release("run-1", epoch)
    assert await stores.jobs.claim(["test_run"], "another", 60) is not None
    with pytest.raises(FailedPrecondition):
        await stores.runs.append_window("run-1", Hold("run-1", epoch), ENVIRONMENT, [transcript("run-1", 1)])
    assert await stores.runs.list_transcripts("run-1", 0, 10) == ()


async def test_runs_do_not_see_each_others_transcripts(stores: Stores) -> None:
    one = await stores.running("run-1")
    await stores.running("run-2")
    await stores.runs.append_window("run-1", Hold("run-1", one), ENVIRONMENT, [transcript("run-1", 1)])
    assert await stores.runs.list_transcripts("run-2", 0, 10) == ()


async def test_a_run_without_weights_comes_back_as_it_was_stored(stores: Stores) -> None:
    record = RunRecord("run-1", replace(INPUTS, base=None, adapter=None, model_version_id="", num_threads=3))
    assert await stores.runs.add_run(record) == record
    assert await stores.runs.get_run("run-1") == record


async def test_transcripts_are_found_by_their_cases(stores: Stores) -> None:
    epoch = await stores.running("run-1")
    every = [transcript("run-1", number) for number in (1, 2, 3)]
    await stores.runs.append_window("run-1", Hold("run-1", epoch), ENVIRONMENT, every)
    found = await stores.runs.find_transcripts("run-1", ["case-3", "case-1", "case-9"])
    assert sorted(found, key=lambda item: item.sequence) == [every[0], every[2]]
    assert await stores.runs.find_transcripts("run-1", []) == ()
    assert await stores.runs.stored_cases("run-1") == {("case-1", 1), ("case-2", 1), ("case-3", 1)}
    assert await stores.runs.stored_cases("run-2") == frozenset()


async def test_transcripts_of_an_early_release_are_read(stores: Stores) -> None:
    epoch = await stores.running("run-1")
    early = replace(transcript("run-1", 1), turns=(), stop="")
    await stores.runs.append_window("run-1", Hold("run-1", epoch), ENVIRONMENT, [early])
    assert await stores.runs.get_transcript("run-1-1") == early
    assert early.num_generated_tokens == 3


async def test_each_window_has_one_hold_at_a_time_and_is_seen_once_all_before_it_are_stored(stores: Stores) -> None:
    run, share = await stores.shared("run-1")
    assert [await stores.windows("run-1", hold) for hold in (run, share, share)] == [(0, 0), (1, 1), (1, 1)]
    for _ in range(2):
        record = await stores.runs.append_window("run-1", replace(share, window=1), ENVIRONMENT, window("run-1", 1))
        assert (record.num_transcripts, record.num_generated_tokens, record.num_ahead) == (0, 0, 2)
    assert await stores.windows("run-1", share) == (None, 1)
    assert await stores.runs.list_transcripts("run-1", 0, 9) == ()
    for _ in range(2):
        record = await stores.runs.append_window("run-1", replace(run, window=0), ENVIRONMENT, window("run-1", 0))
        assert record == RunRecord("run-1", INPUTS, ENVIRONMENT, num_transcripts=4, num_generated_tokens=12)
    assert await stores.windows("run-1", run) == (None, 0)
    assert await stores.runs.list_transcripts("run-1", 0, 9) == (*window("run-1", 0), *window("run-1", 1))


async def test_the_window_of_a_hold_that_has_ended_is_another_s_and_not_its_own_any_more(stores: Stores) -> None:
    run, share = await stores.shared("run-1")
    assert await stores.windows("run-1", share) == (0, 0)
    await stores.jobs.release(share.job_id, share.epoch)
    assert await stores.windows("run-1", run) == (0, 0)
    with pytest.raises(FailedPrecondition, match="another process"):
        await stores.runs.append_window("run-1", replace(share, window=0), ENVIRONMENT, window("run-1", 0))
    record = await stores.runs.append_window("run-1", replace(run, window=0), ENVIRONMENT, window("run-1", 0))
    assert (record.num_transcripts, record.num_ahead) == (2, 0)


async def test_a_share_gets_no_window_of_a_run_that_pauses_or_that_nobody_holds(stores: Stores) -> None:
    run, share = await stores.shared("run-1")
    await stores.jobs.release("run-1", run.epoch)
    assert await stores.windows("run-1", share) == (None, 0)
    job = await stores.jobs.claim(["test_run"], "me", 60)
    assert job is not None and await stores.windows("run-1", share) == (0, 0)
    await stores.jobs.request_pause("run-1")
    assert await stores.windows("run-1", Hold("run-1", job.epoch)) == (None, 1)
    await stores.runs.append_window("run-1", replace(share, window=0), ENVIRONMENT, window("run-1", 0))
    assert [await stores.windows("run-1", hold) for hold in (Hold("run-1", job.epoch), share)] == [(None, 0)] * 2


async def test_a_share_stores_nothing_of_a_run_that_has_ended_and_goes_with_it(stores: Stores) -> None:
    run, share = await stores.shared("run-1")
    assert await stores.windows("run-1", share) == (0, 0)
    await stores.jobs.finish("run-1", run.epoch, JobState.FAILED)
    with pytest.raises(FailedPrecondition, match="FAILED"):
        await stores.runs.append_window("run-1", replace(share, window=0), ENVIRONMENT, window("run-1", 0))
    await stores.runs.delete_run("run-1")
    with pytest.raises(NotFound):
        await stores.jobs.get(share.job_id)


async def test_what_generates_a_run_is_fixed_once_a_window_is_stored(stores: Stores) -> None:
    run, share = await stores.shared("run-1")
    other = Environment("bfloat16")
    for environment in (other, ENVIRONMENT):
        assert (await stores.runs.set_environment("run-1", run, environment)).environment == environment
    assert await stores.windows("run-1", share) == (0, 0)
    # Who has it began when something else was fixed.
    with pytest.raises(FailedPrecondition, match="other means"):
        await stores.runs.append_window("run-1", replace(share, window=0), other, window("run-1", 0))
    await stores.runs.append_window("run-1", replace(share, window=0), ENVIRONMENT, window("run-1", 0))
    assert (await stores.runs.set_environment("run-1", run, other)).environment == ENVIRONMENT


async def test_the_time_of_a_share_is_counted_once_however_often_it_is_told(stores: Stores) -> None:
    _, share = await stores.shared("run-1")
    for job_id, seconds in ((share.job_id, 2.0), (share.job_id, 5.0), (share.job_id, 5.0), ("another", 1.5)):
        await stores.runs.note_help("run-1", job_id, seconds)
    record = await stores.runs.get_run("run-1")
    assert record is not None and record.helped_seconds == 6.5


async def test_a_run_is_deleted_although_one_who_shared_it_still_tells_of_its_work(stores: Stores) -> None:
    run, share = await stores.shared("run-1")
    await stores.jobs.finish("run-1", run.epoch, JobState.FAILED)
    deletion: asyncio.Task[None] | None = None
    if not stores.database.is_sqlite:
        async with stores.database.session() as session:
            job = await fence(session, share.job_id, share.epoch)
            deletion = asyncio.create_task(stores.runs.delete_run("run-1"))
            await asyncio.wait({deletion}, timeout=0.3)
            await append_events(session, job, [("message", {"text": "late"})])
    await (deletion or stores.runs.delete_run("run-1"))
    with pytest.raises(NotFound):
        await stores.jobs.get(share.job_id)
