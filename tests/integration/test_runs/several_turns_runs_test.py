"""Runs of several turns by the test runner as a process, with a real worker on a tiny random model."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
from drillyard.job.v1 import job_pb2
from drillyard.test_runner.v1 import comparison_pb2, test_run_pb2, test_runner_service_pb2_grpc, transcript_pb2

from services.protocols.cases import Case
from services.protocols.profile import get_profile
from tests.integration.tiny_stack import (
    TestRunner,
    TinyStack,
    a_worker,
    answers,
    connected,
    create_run,
    finished_run,
    get_run,
    held,
    standing_still,
    tiny_stack,
    transcripts,
    watch_run,
    workers,
)
from tests.machine import PATIENCE_SECONDS

MAX_CHARACTERS = 6000
PROFILE = get_profile("roo_xml")


def is_short(case: Case) -> bool:
    """Return whether it leaves room for several turns in a context of bytes."""
    return sum(len(message["content"]) for message in PROFILE.messages(case, "compact")) < MAX_CHARACTERS


CASES = [case for case in PROFILE.draw(3, 120) if case.max_turns > 2 and is_short(case)][:9]
WINDOW_SIZE = 1
# A byte-level model that is random says no tool's name; the client steers it until it gives up.
SPEC = {"sampling": test_run_pb2.Sampling(max_new_tokens=12, temperature=1.0), "seed": 5}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TinyStack]:
    folder: Path = tmp_path_factory.mktemp("turns")
    async with tiny_stack(folder, num_cases=0, window_size=WINDOW_SIZE, cases=CASES, max_positions=16384) as made:
        yield made


@pytest.fixture
async def stub(stack: TinyStack) -> AsyncIterator[TestRunner]:
    async with connected(stack.runner) as channel:
        yield test_runner_service_pb2_grpc.TestRunnerServiceStub(channel)


async def run(stub: TestRunner, stack: TinyStack, name: str, **spec: object) -> str:
    """Make a run and return its id."""
    made = await create_run(stub, name, test_suite_version_id=stack.suite, **{**SPEC, **spec})
    done = await finished_run(stub, made.test_run_id)
    assert done.job.state == job_pb2.JOB_STATE_SUCCEEDED, done.job.error
    return made.test_run_id


async def compared(stub: TestRunner, before: str, after: str) -> comparison_pb2.CompareTestRunsResponse:
    request = comparison_pb2.CompareTestRunsRequest(before_test_run_id=before, after_test_run_id=after)
    return await stub.CompareTestRuns(request)


async def test_a_run_killed_between_two_windows_ends_as_one_that_was_not(stub: TestRunner, stack: TinyStack) -> None:
    reference = await run(stub, stack, "reference")
    whole = await transcripts(stub, reference)
    assert all(len(item.turns) > 1 for item in whole), [(item.stop, item.turns[-1]) for item in whole]
    assert {item.stop for item in whole} <= {"mistake_limit", "turn_budget", "repetition"}

    killed = await create_run(stub, "killed", test_suite_version_id=stack.suite, **SPEC)
    async with held(stub, stack.runner, killed.test_run_id) as so_far:
        assert so_far.num_transcripts < len(CASES)
        worker = await a_worker(stack.runner)
        stack.runner.kill()
    worker.wait(PATIENCE_SECONDS)
    stack.start_runner()
    async with connected(stack.runner) as channel:
        again = test_runner_service_pb2_grpc.TestRunnerServiceStub(channel)
        done = await finished_run(again, killed.test_run_id)
        assert (done.job.state, done.job.attempt) == (job_pb2.JOB_STATE_SUCCEEDED, 2), done.job.error
        assert answers(await transcripts(again, killed.test_run_id)) == answers(whole)
        found = await compared(again, reference, killed.test_run_id)
        assert found.identical and found.num_identical == len(CASES)


async def test_a_repeat_is_identical_and_another_seed_is_not(stub: TestRunner, stack: TinyStack) -> None:
    first = await run(stub, stack, "first", log_probs=True)
    request = test_run_pb2.TestRunSpec(repeat_of_test_run_id=first)
    made = await stub.CreateTestRun(test_run_pb2.CreateTestRunRequest(request_id="again", spec=request))
    await finished_run(stub, made.test_run.test_run_id)
    found = await compared(stub, first, made.test_run.test_run_id)
    assert found.identical, found
    assert not found.provenance_differences
    items = await transcripts(stub, made.test_run.test_run_id)
    assert all(len(turn.log_probs) == len(turn.token_ids) > 0 for item in items for turn in item.turns)
    other = await compared(stub, first, await run(stub, stack, "other", seed=6))
    assert not other.identical and other.differences[0].field == "messages"
    assert any("seed" in sentence for sentence in other.provenance_differences)


async def test_the_throughput_mode_stores_every_case_once(stub: TestRunner, stack: TinyStack) -> None:
    items = await transcripts(stub, await run(stub, stack, "fast", throughput=True, num_repeats=2))
    assert sorted((item.case_id, item.repeat) for item in items) == sorted(
        (case.case_id, repeat) for case in CASES for repeat in (0, 1)
    )


async def test_a_paused_run_goes_on_when_it_is_resumed(stub: TestRunner, stack: TinyStack) -> None:
    with standing_still(stack.runner):
        made = await create_run(stub, "paused", test_suite_version_id=stack.suite, **SPEC)
        await stub.PauseTestRun(test_run_pb2.PauseTestRunRequest(test_run_id=made.test_run_id))
    async for event in watch_run(stub, made.test_run_id):
        if event.state.state == job_pb2.JOB_STATE_PAUSED:
            break
    assert (await get_run(stub, made.test_run_id)).job.state == job_pb2.JOB_STATE_PAUSED
    await stub.ResumeTestRun(test_run_pb2.ResumeTestRunRequest(test_run_id=made.test_run_id))
    done = await finished_run(stub, made.test_run_id)
    assert (done.job.state, done.num_transcripts) == (job_pb2.JOB_STATE_SUCCEEDED, len(CASES))


def hello(**more: object) -> transcript_pb2.GenerateRequest:
    message = transcript_pb2.Message(role="user", content="hello")
    sampling = test_run_pb2.Sampling(max_new_tokens=8)
    return transcript_pb2.GenerateRequest(
        **{"model_version_id": "tiny", "messages": [message], "sampling": sampling, **more}  # type: ignore[arg-type]
    )


async def test_one_conversation_is_answered_piece_by_piece(stub: TestRunner) -> None:
    pieces = [piece async for piece in stub.Generate(hello(log_probs=True, num_top_log_probs=2))]
    tokens = [token for piece in pieces for token in piece.log_probs]
    assert pieces[-1].finish_reason in (transcript_pb2.FINISH_REASON_STOP, transcript_pb2.FINISH_REASON_LENGTH)
    assert pieces[-1].num_generated_tokens == len(tokens) > 0
    assert all(token.log_prob < 0 and len(token.top) == 2 for token in tokens)
    assert all(token.top[0].log_prob >= token.top[1].log_prob for token in tokens)
    again = [piece async for piece in stub.Generate(hello())]
    text = "".join(piece.text_delta for piece in again)
    assert text == "".join(piece.text_delta for piece in pieces)
    stopped = [piece async for piece in stub.Generate(hello(stop=["never said", text[:1]]))]
    assert [piece.text_delta for piece in stopped if piece.text_delta] == []
    assert (stopped[-1].stop_text, again[-1].stop_text) == (text[:1], "")


async def test_a_text_is_scored_by_its_own_tokens(stub: TestRunner) -> None:
    sampling = test_run_pb2.Sampling(max_new_tokens=1)
    request = hello(messages=[], prompt="hello", echo=True, log_probs=True, sampling=sampling)
    tokens = [token async for piece in stub.Generate(request) for token in piece.log_probs]
    assert "".join(token.token for token in tokens[:5]) == "hello"
    assert not tokens[0].HasField("log_prob") and all(token.HasField("log_prob") for token in tokens[1:])


async def test_a_caller_that_goes_away_frees_the_worker_for_the_next(stub: TestRunner, stack: TinyStack) -> None:
    sampling = test_run_pb2.Sampling(max_new_tokens=8000)
    call = stub.Generate(hello(sampling=sampling, stop=["never said"]))
    async for _ in call:
        break
    call.cancel()
    assert [piece async for piece in stub.Generate(hello())]
    assert len(workers(stack.runner)) == 1


async def test_a_case_is_shown_as_the_model_reads_it(stub: TestRunner, stack: TinyStack) -> None:
    request = transcript_pb2.RenderPromptRequest(
        model_version_id="tiny", test_suite_version_id=stack.suite, case_id=CASES[4].case_id
    )
    shown = await stub.RenderPrompt(request)
    assert shown.text.endswith("<|im_start|>assistant\n")
    assert all(message.content in shown.text for message in shown.messages)
    assert len(shown.token_ids) == len(shown.tokens) > 1000
    tool = json.dumps({"type": "function", "function": {"name": "read", "parameters": {}}})
    other = await stub.RenderPrompt(
        transcript_pb2.RenderPromptRequest(model_version_id="tiny", messages=shown.messages[:1], tools=[tool])
    )
    assert list(other.tools) == [tool]


def test_the_service_stays_small(stack: TinyStack) -> None:
    assert psutil.Process(stack.runner.process.pid).memory_info().rss < 150 * 2**20
