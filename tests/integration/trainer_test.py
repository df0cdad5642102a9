"""The trainer as a process: its contract over the wire, and real training on Ray."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
from drillyard.job.v1 import job_pb2
from drillyard.trainer.v1 import (
    checkpoint_pb2,
    method_pb2,
    trainer_service_pb2_grpc,
    training_job_pb2,
    training_spec_pb2,
    weights_pb2,
)

from services.chassis.artifacts import ArtifactStore
from services.chassis.channel import open_channel
from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound, ServiceError
from services.lm.folders import check_adapter_folder
from services.lm.tiny import write_tiny_model
from tests.fakes.system.registry import TrainerRegistry, serve_registry
from tests.integration.processes import ServiceProcess, start_service
from tests.integration.telemetry.collector import Collector, collecting
from tests.integration.telemetry.prometheus import wait_until
from tests.unit.trainer.training_bench import dataset_rows, validation_rows

NUM_TRAIN = 12


@dataclass
class Trainer:
    data_dir: Path
    service: ServiceProcess
    registry: TrainerRegistry
    stub: trainer_service_pb2_grpc.TrainerServiceAsyncStub
    collector: Collector | None = None
    listeners: set[str] = field(default_factory=set)

    async def create(self, request_id: str = "", **spec: Any) -> training_job_pb2.TrainingJob:
        wanted = {"model_version_id": "tiny", "dataset_version_id": "drills", "allow_suite_overlap": True} | spec
        request = training_job_pb2.CreateTrainingJobRequest(
            request_id=request_id, spec=training_spec_pb2.TrainingJobSpec(**wanted)
        )
        return (await self.stub.CreateTrainingJob(request)).training_job

    async def finished(self, training_job_id: str) -> training_job_pb2.TrainingJob:
        """Follow a job to its end and return it."""
        request = training_job_pb2.WatchTrainingJobRequest(training_job_id=training_job_id)
        async for _ in self.stub.WatchTrainingJob(request):
            self.listeners |= listening_below(self.service.process.pid)
        found = await self.stub.GetTrainingJob(training_job_pb2.GetTrainingJobRequest(training_job_id=training_job_id))
        return found.training_job

    async def curve(self, training_job_id: str, metric: str) -> dict[int, float]:
        request = checkpoint_pb2.ListCurvePointsRequest(training_job_id=training_job_id, metric=metric, page_size=1000)
        return {point.step: point.value for point in (await self.stub.ListCurvePoints(request)).curve_points}


def listening_below(pid: int) -> set[str]:
    """Return the addresses at which the processes that a process started take connections."""
    addresses = set()
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            sockets = process.net_connections("inet")
            addresses |= {str(item.laddr.ip) for item in sockets if item.status == psutil.CONN_LISTEN}
    return addresses


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def trainer(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Trainer]:
    tmp_path = tmp_path_factory.mktemp("trainer")
    write_tiny_model(tmp_path / "tiny", max_positions=8192)
    rows = dataset_rows(NUM_TRAIN) + validation_rows(2)
    async with serve_registry(tmp_path, tmp_path / "tiny", rows) as registry:
        with collecting() as collector, pytest.MonkeyPatch.context() as patch:
            patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
            with start_service("trainer", tmp_path, registry_address=registry.address, dtype="float32") as service:
                channel = open_channel(service.address)
                stub = trainer_service_pb2_grpc.TrainerServiceStub(channel)
                yield Trainer(tmp_path, service, registry, stub, collector)
                await channel.close()


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_it_is_small_before_any_training_starts(trainer: Trainer) -> None:
    process = psutil.Process(trainer.service.process.pid)
    assert process.memory_info().rss < 150 << 20
    loaded = {Path(entry.path).name for entry in process.memory_maps()}
    assert not [name for name in loaded if name.startswith(("libtorch", "_raylet"))]
    assert process.cpu_times().user + process.cpu_times().system < 4.0


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ({"model_version_id": "unknown"}, NotFound, "unknown"),
        ({"dataset_version_id": "unknown"}, NotFound, "unknown"),
        ({"model_version_id": ""}, InvalidArgument, "model_version_id"),
        ({"learning_rate": -1.0}, InvalidArgument, "learning_rate"),
        ({"learning_rate": float("nan")}, InvalidArgument, "learning_rate"),
        ({"num_epochs": -3}, InvalidArgument, "num_epochs"),
        ({"num_workers": 99}, InvalidArgument, "num_workers"),
        ({"lora": weights_pb2.LoraConfig(lora_dropout=1.5)}, InvalidArgument, "lora_dropout"),
        ({"method": 99}, InvalidArgument, "spec.method is 99"),
        ({"grpo": method_pb2.GrpoConfig(temperature=0)}, InvalidArgument, "temperature"),
        ({"load_best_model_at_end": True}, InvalidArgument, "eval_steps"),
    ],
)
async def test_a_job_that_cannot_be_done_is_refused_at_once(
    trainer: Trainer, spec: dict[str, Any], error: type[ServiceError], words: str
) -> None:
    before = await trainer.stub.ListTrainingJobs(training_job_pb2.ListTrainingJobsRequest())
    with pytest.raises(error, match=words) as refused:
        await trainer.create(**spec)
    assert refused.value.next_step
    assert await trainer.stub.ListTrainingJobs(training_job_pb2.ListTrainingJobsRequest()) == before


async def test_unknown_jobs_and_a_dataset_without_examples_are_told(trainer: Trainer) -> None:
    with pytest.raises(NotFound, match="no training job 'train-none'"):
        await trainer.stub.GetTrainingJob(training_job_pb2.GetTrainingJobRequest(training_job_id="train-none"))
    await trainer.registry.add_dataset("untrained", validation_rows(1))
    with pytest.raises(FailedPrecondition, match="no example to train on"):
        await trainer.create(dataset_version_id="untrained")


@pytest.mark.ray
@pytest.mark.timeout(400)
async def test_two_workers_train_what_one_does_and_the_adapter_is_registered(trainer: Trainer) -> None:
    spec = {"batch_size": 4, "num_epochs": 3, "save_steps": 4, "learning_rate": 4e-3, "seed": 3}
    one = await trainer.create("one", num_workers=1, **spec)
    two = await trainer.create("two", num_workers=2, **spec)
    assert (one.spec.model_version_id, one.spec.output_model_id, one.spec.lora.r) == ("tiny@1", "tiny", 16)
    ended = [await trainer.finished(job.training_job_id) for job in (one, two)]
    assert trainer.listeners <= {"127.0.0.1", "::ffff:127.0.0.1"}
    for job in ended:
        assert job.job.state == job_pb2.JOB_STATE_SUCCEEDED, job.job.error
        assert [item.outcome for item in job.attempts] == [training_job_pb2.ATTEMPT_OUTCOME_SUCCEEDED]
    losses = [await trainer.curve(job.training_job_id, "loss") for job in ended]
    assert list(losses[0]) == list(range(1, 10)) and losses[0][9] < losses[0][1] - 0.1
    assert list(losses[1].values()) == pytest.approx(list(losses[0].values()), abs=1e-3)
    assert await trainer.curve(one.training_job_id, "adherence") == {9: 0.0}
    assert [job.model_version_id for job in ended] == ["tiny@2", "tiny@3"]
    registered = (await trainer.registry.trained())[0]
    artifacts = ArtifactStore(trainer.data_dir.as_uri(), sources=(trainer.data_dir.as_uri() + "/",))
    check_adapter_folder(await artifacts.local_path(registered.artifact.uri))
    assert (registered.base_model_version_id, registered.produced_by) == (
        "tiny@1",
        f"training_job:{one.training_job_id}",
    )
    kept = await trainer.stub.ListCheckpoints(
        checkpoint_pb2.ListCheckpointsRequest(training_job_id=one.training_job_id)
    )
    assert [item.step for item in kept.checkpoints] == [9, 8]
    await asyncio.to_thread(wait_until, lambda: [spans_of(trainer.collector, job) for job in ended] == [1, 2])


def spans_of(collector: Collector, job: training_job_pb2.TrainingJob) -> int:
    """Count the spans of a job's workers, each below the job's own, below that of the call that made it."""
    by_id = {span_id: each.span for span_id, each in collector.spans.copy().items()}
    mine = [span for span in by_id.values() if job.training_job_id in map(_text, span.attributes)]
    workers = [span for span in mine if span.name == "training worker: attempt"]
    parents = [by_id.get(span.parent_span_id) for span in workers]
    callers = [by_id.get(parent.parent_span_id) for parent in parents if parent]
    return sum(caller is not None and caller.name.endswith("/CreateTrainingJob") for caller in callers)


def _text(attribute: Any) -> str:
    return str(attribute.value.string_value)


@pytest.mark.ray
@pytest.mark.timeout(300)
async def test_an_example_that_cannot_be_trained_on_fails_the_job_once_and_is_named(trainer: Trainer) -> None:
    registered = await trainer.registry.trained()
    job = await trainer.create(max_tokens_per_pack=128)
    ended = await trainer.finished(job.training_job_id)
    assert ended.job.state == job_pb2.JOB_STATE_FAILED
    assert "Line 1 of the dataset: Example e0 has" in ended.job.error.problem and ended.job.error.next_step
    assert "11 more rows cannot be used" in ended.job.error.problem
    assert len(ended.attempts) == 1
    assert await trainer.registry.trained() == registered
