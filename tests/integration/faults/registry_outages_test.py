"""A training that has ended waits for a real registry that is full, frozen or slow, and is registered once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from drillyard.job.v1 import job_pb2
from drillyard.registry.v1 import registry_service_pb2_grpc
from drillyard.trainer.v1 import trainer_service_pb2_grpc, training_job_pb2, training_spec_pb2

from services.chassis.channel import open_channel
from services.registry.domain.model import ModelVersion, ModelVersionDraft
from services.registry.usecases.model import ModelUseCases
from services.trainer import __main__ as trainer
from services.trainer.domain.plan import AttemptPlan
from tests.fakes.system.registry import TrainerRegistry, serve_registry
from tests.fakes.system.services import started
from tests.fakes.system.training import MadeUpTraining
from tests.integration.processes import ServiceProcess, start_service
from tests.machine import fill, small_disk
from tests.unit.registry.model_folders import write_model
from tests.unit.trainer.training_bench import dataset_rows


class FillsTheDisk(MadeUpTraining):
    """Trains, and takes the room of a disk just before it tells that it has ended."""

    def __init__(self, disk: Path) -> None:
        self._disk = disk

    async def run(self, plan: AttemptPlan) -> None:
        fill(self._disk)
        await super().run(plan)


@dataclass
class Training:
    """A job that is followed from event to event."""

    stub: trainer_service_pb2_grpc.TrainerServiceAsyncStub
    job_id: str
    messages: list[str] = field(default_factory=list)

    async def waits(self, reason: str) -> None:
        """Follow the job until its progress tells that it waits for the registry, and why."""
        request = training_job_pb2.WatchTrainingJobRequest(training_job_id=self.job_id)
        async for response in self.stub.WatchTrainingJob(request):
            self.messages.append(response.event.progress.message)
            if self.messages[-1].startswith("Waiting for the registry: ") and reason in self.messages[-1]:
                return
        raise AssertionError(f"the job ended, and told: {self.messages}")

    async def get(self) -> training_job_pb2.TrainingJob:
        request = training_job_pb2.GetTrainingJobRequest(training_job_id=self.job_id)
        return (await self.stub.GetTrainingJob(request)).training_job

    async def end(self) -> training_job_pb2.TrainingJob:
        request = training_job_pb2.WatchTrainingJobRequest(training_job_id=self.job_id)
        async for _ in self.stub.WatchTrainingJob(request):
            pass
        return await self.get()


@asynccontextmanager
async def registry_calls(process: ServiceProcess, folder: Path) -> AsyncIterator[TrainerRegistry]:
    async with open_channel(process.address) as channel:
        stub = registry_service_pb2_grpc.RegistryServiceStub(channel)
        registry = TrainerRegistry(process.address, stub, folder)
        await registry.add_model(write_model(folder / "tiny"))
        await registry.add_dataset("drills", dataset_rows(2))
        yield registry


@asynccontextmanager
async def training(
    folder: Path, backend: MadeUpTraining, registry_address: str, call_seconds: float = 0.3
) -> AsyncIterator[Training]:
    settings = trainer.TrainerSettings(
        data_dir=folder, registry_address=registry_address, call_seconds=call_seconds, drain_grace_seconds=0.2
    )
    spec = training_spec_pb2.TrainingJobSpec(
        model_version_id="tiny", dataset_version_id="drills", allow_suite_overlap=True
    )
    async with started("trainer", trainer, settings, backend=backend) as (address, _), open_channel(address) as channel:
        stub = trainer_service_pb2_grpc.TrainerServiceStub(channel)
        job = (await stub.CreateTrainingJob(training_job_pb2.CreateTrainingJobRequest(spec=spec))).training_job
        yield Training(stub, job.training_job_id)


async def test_a_training_that_has_ended_outlasts_a_full_and_a_frozen_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.chassis.waiting._LAST_PAUSE_SECONDS", 0.3)
    with (
        small_disk(tmp_path / "disk", 64) as disk,
        start_service("registry", disk, artifact_sources=f'["{tmp_path.as_uri()}/"]') as process,
    ):
        async with registry_calls(process, tmp_path) as registry:
            async with training(tmp_path, FillsTheDisk(disk), registry.address) as job:
                await job.waits("No space is left")
                os.kill(process.process.pid, signal.SIGSTOP)
                try:
                    await job.waits("did not answer in time")
                    seen = await job.get()
                finally:
                    os.kill(process.process.pid, signal.SIGCONT)
                (disk / "filler").unlink()
                ended = await job.end()
            registered = await registry.trained()
    assert seen.job.state == job_pb2.JOB_STATE_RUNNING
    assert seen.job.progress.message.startswith("Waiting for the registry: ")
    assert ended.job.state == job_pb2.JOB_STATE_SUCCEEDED, ended.job.error
    assert [version.produced_by for version in registered] == [f"training_job:{ended.training_job_id}"]
    assert ended.model_version_id == registered[0].model_version_id


async def test_a_training_whose_registry_answers_later_than_the_deadline_is_registered_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[str] = []
    create_version = ModelUseCases.create_version

    async def create_late(models: ModelUseCases, draft: ModelVersionDraft) -> ModelVersion:
        requests.append(draft.request_id)
        number = len(requests)
        if number == 1:
            await asyncio.Event().wait()
        version = await create_version(models, draft)
        if number == 2:
            # Only the deadline of the caller, who learns of no version, ends this.
            await asyncio.Event().wait()
        return version

    monkeypatch.setattr("services.chassis.waiting._LAST_PAUSE_SECONDS", 0.3)
    model = write_model(tmp_path / "tiny")
    async with serve_registry(tmp_path, model, dataset_rows(2)) as registry:
        monkeypatch.setattr(ModelUseCases, "create_version", create_late)
        async with training(tmp_path, MadeUpTraining(), registry.address, call_seconds=1.0) as job:
            await job.waits("did not answer in time")
            ended = await job.end()
        registered = await registry.trained()
    assert ended.job.state == job_pb2.JOB_STATE_SUCCEEDED, ended.job.error
    assert len(requests) >= 3 and set(requests) == {f"{ended.training_job_id}/result"}
    assert [version.model_version_id for version in registered] == [ended.model_version_id]
