"""A GGUF version in the real registry, served by llama.cpp's real server under the real test runner."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
from drillyard.job.v1 import job_pb2
from drillyard.registry.v1 import artifact_pb2, model_pb2, registry_service_pb2_grpc
from drillyard.test_runner.v1 import score_pb2, test_run_pb2, test_runner_service_pb2_grpc, transcript_pb2

from services.chassis.artifacts import ArtifactStore
from tests.integration.tiny_stack import (
    MODEL,
    TinyStack,
    connected,
    create_run,
    finished_run,
    tiny_stack,
    transcripts,
)
from tests.machine import PATIENCE_SECONDS, command_of
from tests.unit.lm.gguf.models import write

_HOW = "LLAMA_SERVER='/path/to/llama-server' pytest tests/integration/test_runs/gguf_versions_test.py"
pytestmark = [
    pytest.mark.skipif(not os.environ.get("LLAMA_SERVER"), reason=f"llama.cpp's server is absent: {_HOW}"),
    pytest.mark.timeout(300),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TinyStack]:
    folder: Path = tmp_path_factory.mktemp("gguf")
    async with tiny_stack(folder, num_cases=2) as made:
        yield made


async def registered(stack: TinyStack, folder: Path) -> str:
    """Have the registry adopt a GGUF of a few kilobytes, whose every letter is a token, as a form of the model."""
    write(folder / "model.gguf", facts={"llama.context_length": 16384})
    stored = await ArtifactStore((stack.data_dir / "forms").as_uri()).put_tree(folder)
    async with connected(stack.registry) as channel:
        request = model_pb2.CreateModelVersionRequest(
            request_id="gguf",
            model_id=f"{MODEL}-gguf",
            kind=model_pb2.MODEL_VERSION_KIND_GGUF,
            base_model_version_id=f"{MODEL}@1",
            artifact=artifact_pb2.Artifact(uri=stored.uri, digest=stored.digest, size_bytes=stored.size_bytes),
            produced_by="export:elsewhere",
        )
        stub = registry_service_pb2_grpc.RegistryServiceStub(channel)
        return (await stub.CreateModelVersion(request)).model_version.model_version_id


async def test_a_gguf_version_runs_a_suite_renders_and_scores_like_any_other(stack: TinyStack, tmp_path: Path) -> None:
    version = await registered(stack, tmp_path)
    async with connected(stack.runner) as channel:
        stub = test_runner_service_pb2_grpc.TestRunnerServiceStub(channel)
        sampling = test_run_pb2.Sampling(max_new_tokens=4)
        run = await create_run(
            stub, "gguf", model_version_id=version, test_suite_version_id=stack.suite, dtype="", sampling=sampling
        )
        done = await finished_run(stub, run.test_run_id)
        assert done.job.state == job_pb2.JOB_STATE_SUCCEEDED, done.job.error
        assert done.provenance.endpoint["server"] == "llama.cpp" and done.provenance.endpoint["file"] == "model.gguf"
        answered = [item.messages[-1].content for item in await transcripts(stub, run.test_run_id)]
        assert answered == ["ZZZZ", "ZZZZ"]
        message = transcript_pb2.Message(role="user", content="abc")
        shown = await stub.RenderPrompt(
            transcript_pb2.RenderPromptRequest(model_version_id=version, messages=[message])
        )
        assert shown.text == "abc" and list(shown.tokens) == ["a", "b", "c"]
        request = score_pb2.ScoreAnswersRequest(model_version_id=version)
        request.rows.add(token_ids=[*shown.token_ids, 2], num_prompt_tokens=2)
        (score,) = [score async for score in stub.ScoreAnswers(request)]
        assert [token.token_id for token in score.tokens] == [shown.token_ids[2], 2] and score.ends_turn
    children = psutil.Process(stack.runner.process.pid).children(recursive=True)
    (server,) = [child for child in children if "model.gguf" in command_of(child)]
    assert all("Bearer" not in part and "--api-key" not in part for part in server.cmdline())
    stack.runner.kill()
    assert not psutil.wait_procs([server], timeout=PATIENCE_SECONDS)[1]
