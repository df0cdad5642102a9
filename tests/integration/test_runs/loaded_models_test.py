"""What the test runner loads: an adapter that does not fit, and two models at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from drillyard.job.v1 import job_pb2
from drillyard.registry.v1 import artifact_pb2, model_pb2, registry_service_pb2_grpc
from drillyard.test_runner.v1 import test_run_pb2, test_runner_service_pb2_grpc

from services.chassis.artifacts import ArtifactStore
from services.lm.adapters import LoraSettings, add_lora, save_adapter
from services.lm.loading import load
from services.lm.tiny import write_tiny_model
from tests.integration.tiny_stack import (
    MODEL,
    TestRunner,
    TinyStack,
    answers,
    connected,
    create_run,
    finished_run,
    stored_windows,
    tiny_stack,
    transcripts,
    workers,
)

NUM_CASES = 6


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TinyStack]:
    folder: Path = tmp_path_factory.mktemp("loaded")
    async with tiny_stack(folder, num_cases=NUM_CASES, window_size=2, max_running=2, max_workers=2) as made:
        yield made


@pytest.fixture
async def stub(stack: TinyStack) -> AsyncIterator[TestRunner]:
    async with connected(stack.runner) as channel:
        yield test_runner_service_pb2_grpc.TestRunnerServiceStub(channel)


async def registered_adapter(stack: TinyStack, folder: Path) -> str:
    """Have the registry adopt an adapter folder as one of the tiny model's, and return its version."""
    stored = await ArtifactStore((stack.data_dir / "adapters").as_uri()).put_tree(folder)
    async with connected(stack.registry) as channel:
        request = model_pb2.CreateModelVersionRequest(
            request_id=folder.name,
            model_id=MODEL,
            kind=model_pb2.MODEL_VERSION_KIND_ADAPTER,
            base_model_version_id=f"{MODEL}@1",
            artifact=artifact_pb2.Artifact(uri=stored.uri, digest=stored.digest, size_bytes=stored.size_bytes),
            produced_by="training_job:elsewhere",
        )
        stub = registry_service_pb2_grpc.RegistryServiceStub(channel)
        return (await stub.CreateModelVersion(request)).model_version.model_version_id


def written_adapter(folder: Path, *, hidden_size: int) -> Path:
    write_tiny_model(folder / "base", hidden_size=hidden_size)
    settings = LoraSettings(r=2, target_modules=("q_proj",))
    save_adapter(add_lora(load(folder / "base", dtype="float32").model, settings, seed=1), folder / f"r{hidden_size}")
    return folder / f"r{hidden_size}"


async def test_an_adapter_that_does_not_fit_ends_the_run_naming_the_tensor_and_both_shapes(
    stub: TestRunner, stack: TinyStack, tmp_path: Path
) -> None:
    version = await registered_adapter(stack, written_adapter(tmp_path, hidden_size=96))
    run = await create_run(stub, "misfit", test_suite_version_id=stack.suite, model_version_id=version)
    ended = await finished_run(stub, run.test_run_id)
    assert (ended.job.state, ended.num_transcripts) == (job_pb2.JOB_STATE_FAILED, 0)
    said = str(ended.job.error)
    assert "layers.0.self_attn.q_proj.lora_A" in said
    assert "(2, 96)" in said and "(2, 64)" in said
    assert "base model it was trained on" in said


async def test_two_models_generate_at_once_and_answer_as_each_does_alone(
    stub: TestRunner, stack: TinyStack, tmp_path: Path
) -> None:
    version = await registered_adapter(stack, written_adapter(tmp_path, hidden_size=64))
    sampling = test_run_pb2.Sampling(temperature=1.0, max_new_tokens=150)
    specs = [{"model_version_id": model, "sampling": sampling, "seed": 7} for model in (f"{MODEL}@1", version)]

    async def created(prefix: str, number: int) -> str:
        name = f"{prefix} {number}"
        return (await create_run(stub, name, test_suite_version_id=stack.suite, **specs[number])).test_run_id

    together = [await created("together", number) for number in range(2)]
    await asyncio.gather(*(stored_windows(stub, run_id, 2) for run_id in together))
    assert len(workers(stack.runner)) == 2
    ended = await asyncio.gather(*(finished_run(stub, run_id) for run_id in together))
    assert {run.job.state for run in ended} == {job_pb2.JOB_STATE_SUCCEEDED}
    for number, run_id in enumerate(together):
        alone = await finished_run(stub, await created("alone", number))
        assert answers(await transcripts(stub, alone.test_run_id)) == answers(await transcripts(stub, run_id))
