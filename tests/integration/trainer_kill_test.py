"""Training outlives the death of its service, of its processes, and of a checkpoint."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from drillyard.job.v1 import job_pb2
from drillyard.trainer.v1 import checkpoint_pb2, trainer_service_pb2_grpc, training_job_pb2, training_spec_pb2

from services.chassis.channel import open_channel
from services.chassis.machine.parent import ServiceToken
from services.lm.tiny import write_tiny_model
from services.trainer.manifest import MANIFEST, places
from tests.fakes.system.registry import serve_registry
from tests.integration.processes import ServiceProcess, start_service
from tests.machine import PATIENCE_SECONDS, has_ended
from tests.unit.trainer.training_bench import dataset_rows

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]

NUM_STEPS = 240
FINAL = (job_pb2.JOB_STATE_SUCCEEDED, job_pb2.JOB_STATE_FAILED)
SPEC = training_spec_pb2.TrainingJobSpec(
    model_version_id="tiny",
    dataset_version_id="drills",
    num_epochs=60,
    batch_size=4,
    save_steps=10,
    save_total_limit=3,
    allow_suite_overlap=True,
    seed=7,
)


class Caller:
    """One connection to a trainer, following one job."""

    def __init__(self, service: ServiceProcess, token: ServiceToken | None = None) -> None:
        self.channel = open_channel(service.address, token=token)
        self.stub = trainer_service_pb2_grpc.TrainerServiceStub(self.channel)

    async def create(self) -> str:
        request = training_job_pb2.CreateTrainingJobRequest(request_id="loop/1/train", spec=SPEC)
        return (await self.stub.CreateTrainingJob(request)).training_job.training_job_id

    async def get(self, job_id: str) -> training_job_pb2.TrainingJob:
        request = training_job_pb2.GetTrainingJobRequest(training_job_id=job_id)
        return (await self.stub.GetTrainingJob(request)).training_job

    async def events(
        self, job_id: str, after_sequence: int = 0
    ) -> AsyncIterator[training_job_pb2.WatchTrainingJobResponse]:
        request = training_job_pb2.WatchTrainingJobRequest(training_job_id=job_id, after_sequence=after_sequence)
        async for response in self.stub.WatchTrainingJob(request):
            yield response

    async def checkpoint_above(self, job_id: str, step: int) -> int:
        """Wait for a checkpoint of a later step and return its step."""
        after = (await self.get(job_id)).job.last_sequence if step else 0
        async for response in self.events(job_id, after):
            assert response.event.state.state not in FINAL, "the job ended before it could be killed"
            if response.checkpoint.step > step:
                return response.checkpoint.step
        raise AssertionError("the stream ended")

    async def loss_steps(self, job_id: str) -> list[int]:
        steps, token = [], ""
        while True:
            request = checkpoint_pb2.ListCurvePointsRequest(
                training_job_id=job_id, metric="loss", page_size=500, page_token=token
            )
            page = await self.stub.ListCurvePoints(request)
            steps += [point.step for point in page.curve_points]
            token = page.next_page_token
            if not token:
                return steps


def processes_of(service: ServiceProcess) -> list[psutil.Process]:
    return psutil.Process(service.process.pid).children(recursive=True)


def are_gone(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE_SECONDS)
    return all(map(has_ended, alive))


def flip_a_byte_of_the_newest(checkpoints: Path) -> int:
    # Behind it may be one that was being written as its process was killed.
    newest = next(place for place in places(checkpoints) if (place.path / MANIFEST).exists())
    path = newest.path / "adapter" / "adapter_model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    return newest.step


async def test_a_job_goes_on_from_its_last_good_checkpoint_whatever_dies(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "tiny")
    async with serve_registry(tmp_path, tmp_path / "tiny", dataset_rows(16)) as registry:
        with start_service("trainer", tmp_path, registry_address=registry.address) as service:
            caller = Caller(service)
            job_id = await caller.create()
            first_saved = await caller.checkpoint_above(job_id, 0)
            orphans = processes_of(service)
            service.kill()
            await caller.channel.close()

        with start_service("trainer", tmp_path, registry_address=registry.address) as service:
            caller = Caller(service)
            assert await caller.create() == job_id
            await caller.checkpoint_above(job_id, first_saved)
            assert orphans and are_gone(orphans)
            (worker,) = processes_of(service)
            worker.kill()
            damaged = await asyncio.to_thread(flip_a_byte_of_the_newest, tmp_path / "trainer" / "checkpoints" / job_id)
            events = [item async for item in caller.events(job_id)]
            job = await caller.get(job_id)
            steps = await caller.loss_steps(job_id)
            await caller.channel.close()
        registered = await registry.trained()

    assert job.job.state == job_pb2.JOB_STATE_SUCCEEDED, job.job.error
    outcomes = [training_job_pb2.AttemptOutcome.Name(item.outcome) for item in job.attempts]
    assert [name.removeprefix("ATTEMPT_OUTCOME_") for name in outcomes] == ["LOST", "LOST", "SUCCEEDED"]
    assert job.attempts[1].reason == "The training process was killed, perhaps since memory ran out."
    assert job.attempts[1].start_step >= first_saved
    assert 0 < job.attempts[1].start_step <= job.attempts[2].start_step < damaged
    assert job.attempts[0].epoch < job.attempts[1].epoch == job.attempts[2].epoch
    assert [item.event.message.text for item in events if "set aside" in item.event.message.text] == [
        f"The checkpoint of step {damaged} was set aside: "
        "the file adapter/adapter_model.safetensors was changed after it was written."
    ]
    assert steps == list(range(1, NUM_STEPS + 1))
    assert [version.produced_by for version in registered] == [f"training_job:{job_id}"]
    assert job.model_version_id == "tiny@2"


async def test_stopping_the_service_and_cancelling_end_every_process_and_keep_the_checkpoints(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "tiny")
    async with serve_registry(tmp_path, tmp_path / "tiny", dataset_rows(16)) as registry:
        with start_service("trainer", tmp_path, registry_address=registry.address) as service:
            caller = Caller(service)
            job_id = await caller.create()
            await caller.checkpoint_above(job_id, 0)
            processes = processes_of(service)
            assert service.stop() == 0
            assert processes and are_gone(processes)
            await caller.channel.close()
        with start_service("trainer", tmp_path, registry_address=registry.address) as service:
            caller = Caller(service)
            async for response in caller.events(job_id, (await caller.get(job_id)).job.last_sequence):
                if response.event.progress.phase == "start" and (processes := processes_of(service)):
                    break
            await caller.stub.CancelTrainingJob(training_job_pb2.CancelTrainingJobRequest(training_job_id=job_id))
            states = [item.event.state.state async for item in caller.events(job_id) if item.event.HasField("state")]
            await caller.channel.close()
        assert await registry.trained() == []
    assert states[-2:] == [job_pb2.JOB_STATE_CANCELLING, job_pb2.JOB_STATE_CANCELLED]
    assert are_gone(processes)
    assert places(tmp_path / "trainer" / "checkpoints" / job_id)
