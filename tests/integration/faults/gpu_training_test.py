"""Training on a GPU through the service and Ray: pausing frees it, and what has no room is told."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import torch
from drillyard.job.v1 import job_pb2
from drillyard.trainer.v1 import trainer_service_pb2_grpc, training_job_pb2, weights_pb2

from services.chassis.channel import open_channel
from services.lm.tiny import write_tiny_model
from tests.fakes.system.registry import serve_registry
from tests.integration.processes import start_service
from tests.integration.trainer_test import Trainer
from tests.unit.trainer.training_bench import dataset_rows, validation_rows

pytestmark = [
    pytest.mark.skipif(
        not torch.cuda.is_available(),
        reason="no GPU; with one run: pytest tests/integration/faults/gpu_training_test.py",
    ),
    pytest.mark.ray,
    pytest.mark.timeout(400),
    pytest.mark.asyncio(loop_scope="module"),
]
NUM_STEPS = 300
SPEC = {"num_epochs": 100, "batch_size": 4, "save_steps": 50, "learning_rate": 4e-3, "seed": 3}
MIB = 1 << 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def trainer(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Trainer]:
    folder = tmp_path_factory.mktemp("trainer")
    write_tiny_model(folder / "tiny", max_positions=8192)
    write_tiny_model(folder / "wide", hidden_size=1024, num_layers=12, max_positions=8192)
    async with serve_registry(folder, folder / "tiny", dataset_rows(12) + validation_rows(2)) as registry:
        await registry.add_model(folder / "wide")
        with start_service("trainer", folder, registry_address=registry.address, device="cuda") as service:
            channel = open_channel(service.address)
            yield Trainer(folder, service, registry, trainer_service_pb2_grpc.TrainerServiceStub(channel))
            await channel.close()


async def test_a_paused_job_holds_nothing_of_the_gpu_and_goes_on_to_its_end(trainer: Trainer) -> None:
    torch.zeros(1, device="cuda")
    free = torch.cuda.mem_get_info()[0]
    job_id = (await trainer.create("paused", model_version_id="tiny@1", **SPEC)).training_job_id
    while not await trainer.curve(job_id, "loss"):
        await asyncio.sleep(0.05)
    assert torch.cuda.mem_get_info()[0] < free - 100 * MIB
    await trainer.stub.PauseTrainingJob(training_job_pb2.PauseTrainingJobRequest(training_job_id=job_id))
    while await _state(trainer, job_id) != job_pb2.JOB_STATE_PAUSED:
        await asyncio.sleep(0.05)
    assert torch.cuda.mem_get_info()[0] >= free - 16 * MIB
    done = max(await trainer.curve(job_id, "loss"))
    assert done < NUM_STEPS
    await trainer.stub.ResumeTrainingJob(training_job_pb2.ResumeTrainingJobRequest(training_job_id=job_id))
    ended = await trainer.finished(job_id)
    assert ended.job.state == job_pb2.JOB_STATE_SUCCEEDED, ended.job.error
    losses = await trainer.curve(job_id, "loss")
    assert list(losses) == list(range(1, NUM_STEPS + 1)) and losses[NUM_STEPS] < losses[1] - 0.1


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
async def test_an_adapter_learns_beside_a_base_in_4_bits(trainer: Trainer) -> None:
    job = await trainer.create("quantised", model_version_id="tiny@1", load_in_4bit=True, **SPEC | {"num_epochs": 10})
    ended = await trainer.finished(job.training_job_id)
    assert ended.job.state == job_pb2.JOB_STATE_SUCCEEDED, ended.job.error
    losses = await trainer.curve(job.training_job_id, "loss")
    assert losses[30] < losses[1] - 0.1


async def test_a_job_without_room_on_the_gpu_ends_with_what_would_fit(trainer: Trainer) -> None:
    torch.zeros(1, device="cuda")
    held = torch.empty(torch.cuda.mem_get_info()[0] - 1500 * MIB, dtype=torch.uint8, device="cuda")
    try:
        job = await trainer.create(
            "wide",
            model_version_id="tiny@2",
            trained_weights=weights_pb2.TRAINED_WEIGHTS_FULL,
            num_epochs=1,
            batch_size=4,
        )
        ended = await trainer.finished(job.training_job_id)
    finally:
        del held
        torch.cuda.empty_cache()
    assert ended.job.state == job_pb2.JOB_STATE_FAILED
    assert "GPU_OOM" in ended.job.error.problem and "max_tokens_per_pack" in ended.job.error.problem


async def _state(trainer: Trainer, job_id: str) -> Any:
    request = training_job_pb2.GetTrainingJobRequest(training_job_id=job_id)
    return (await trainer.stub.GetTrainingJob(request)).training_job.job.state
