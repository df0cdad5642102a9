"""Test runs against llama.cpp's real server that serves SmolLM2."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from drillyard.job.v1 import job_pb2
from drillyard.test_runner.v1 import test_run_pb2, test_runner_service_pb2_grpc, transcript_pb2

from services.chassis.errors import FailedPrecondition
from services.protocols.profile import get_profile
from tests.integration.tiny_stack import (
    TestRunner,
    TinyStack,
    connected,
    create_run,
    finished_run,
    get_run,
    tiny_stack,
    transcripts,
)
from tests.unit.test_runner.diagnosis.llama_server_test import serving

pytestmark = [pytest.mark.real_model, pytest.mark.timeout(600)]

CASES = [case for case in get_profile("roo_xml").draw(3, 90) if 1 < case.max_turns < 7][:1]
GREEDY = test_run_pb2.Sampling(max_new_tokens=8)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[TinyStack, test_run_pb2.Endpoint]]:
    folder: Path = tmp_path_factory.mktemp("llama")
    with serving(folder / "llama.log", "-c", "8192") as endpoint:
        async with tiny_stack(folder, num_cases=0, window_size=2, cases=CASES) as stack:
            yield stack, test_run_pb2.Endpoint(base_url=endpoint.base_url, model=endpoint.model, max_concurrency=1)


Served = tuple["TinyStack", test_run_pb2.Endpoint]


@pytest.fixture
async def stub(served: Served) -> AsyncIterator[TestRunner]:
    async with connected(served[0].runner) as channel:
        yield test_runner_service_pb2_grpc.TestRunnerServiceStub(channel)


async def run(stub: TestRunner, served: Served, name: str, **spec: object) -> test_run_pb2.TestRun:
    chosen = {"model_version_id": "", "test_suite_version_id": served[0].suite, "endpoint": served[1], "dtype": ""}
    made = await create_run(stub, name, **{**chosen, "sampling": GREEDY, **spec})
    return await finished_run(stub, made.test_run_id)


async def test_cases_of_several_turns_are_played_and_the_server_is_recorded(stub: TestRunner, served: Served) -> None:
    done = await run(stub, served, "turns", log_probs=True)
    assert done.job.state == job_pb2.JOB_STATE_SUCCEEDED, done.job.error
    facts = done.provenance.endpoint
    assert (facts["server"], facts["context"]) == ("llama.cpp", "8192")
    assert done.provenance.chat_template_digest.startswith("sha256:")
    items = await transcripts(stub, done.test_run_id)
    assert [item.case_id for item in items] == [case.case_id for case in CASES]
    assert done.num_generated_tokens > 0
    for item in items:
        assert len(item.turns) > 1 and item.stop
        assert all(turn.num_prompt_tokens > 500 for turn in item.turns)
        assert all(len(turn.log_probs) == turn.num_generated_tokens > 0 for turn in item.turns)
        assert item.turns[1].num_cached_tokens > 0


async def test_one_conversation_is_streamed(stub: TestRunner, served: Served) -> None:
    message = transcript_pb2.Message(role="user", content="Say hello.")
    request = transcript_pb2.GenerateRequest(messages=[message], endpoint=served[1], sampling=GREEDY)
    pieces = [piece async for piece in stub.Generate(request)]
    assert len(pieces) > 2 and "".join(piece.text_delta for piece in pieces)
    assert pieces[-1].num_prompt_tokens > 0 and pieces[-1].num_generated_tokens > 1


async def test_a_prompt_beyond_the_servers_context_is_told_before_any_token(stub: TestRunner, served: Served) -> None:
    message = transcript_pb2.Message(role="user", content="word " * 9000)
    request = transcript_pb2.GenerateRequest(messages=[message], endpoint=served[1], sampling=GREEDY)
    (last,) = [piece async for piece in stub.Generate(request)]
    assert last.finish_reason == transcript_pb2.FINISH_REASON_CONTEXT_OVERFLOW
    assert last.num_prompt_tokens > 9000 and last.num_generated_tokens == 0
    assert "8192" in last.detail


async def test_a_model_that_the_server_lacks_is_refused_with_those_it_has(stub: TestRunner, served: Served) -> None:
    other = test_run_pb2.Endpoint(base_url=served[1].base_url, model="gpt-9")
    done = await run(stub, served, "unknown", endpoint=other)
    assert done.job.state == job_pb2.JOB_STATE_FAILED
    assert "smollm2" in done.job.error.problem + done.job.error.next_step


async def test_an_endpoint_that_is_down_fails_the_run(stub: TestRunner, served: Served) -> None:
    away = test_run_pb2.Endpoint(base_url="http://127.0.0.1:9/v1", model="x")
    done = await run(stub, served, "down", endpoint=away)
    assert done.job.state == job_pb2.JOB_STATE_FAILED
    assert (await get_run(stub, done.test_run_id)).num_transcripts == 0
    with pytest.raises(FailedPrecondition, match="secret"):
        await create_run(
            stub,
            "no-key",
            model_version_id="",
            test_suite_version_id=served[0].suite,
            endpoint=test_run_pb2.Endpoint(base_url=away.base_url, model="x", api_key_secret="none"),
        )
