"""A trainer behind the real contract that trains nothing: its jobs register a new version at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from drillyard.trainer.v1 import trainer_service_pb2_grpc
from drillyard.trainer.v1 import training_job_pb2 as pb
from google.protobuf.json_format import MessageToDict, ParseDict

from services.chassis.errors import ServiceError
from services.chassis.jobs import Job, Json
from services.chassis.jobs.convert import job_to_proto
from tests.fakes.neighbours.gates import Gates
from tests.fakes.neighbours.jobs import FakeJobs
from tests.fakes.neighbours.registry import FakeRegistry


class FakeTrainer(trainer_service_pb2_grpc.TrainerServiceServicer):
    """The RPCs that a loop calls; with `fault` set, every job fails with it."""

    def __init__(self, gates: Gates, registry: FakeRegistry) -> None:
        self.jobs = FakeJobs("training_job", gates, self._train)
        self.fault: ServiceError | None = None
        self._registry = registry

    async def CreateTrainingJob(
        self, request: pb.CreateTrainingJobRequest, context: Any
    ) -> pb.CreateTrainingJobResponse:
        job = await self.jobs.create(request.request_id, MessageToDict(request.spec, preserving_proto_field_name=True))
        return pb.CreateTrainingJobResponse(training_job=_training_job(job))

    async def GetTrainingJob(self, request: pb.GetTrainingJobRequest, context: Any) -> pb.GetTrainingJobResponse:
        return pb.GetTrainingJobResponse(training_job=_training_job(await self.jobs.store.get(request.training_job_id)))

    async def CancelTrainingJob(
        self, request: pb.CancelTrainingJobRequest, context: Any
    ) -> pb.CancelTrainingJobResponse:
        return pb.CancelTrainingJobResponse(
            training_job=_training_job(await self.jobs.store.request_cancel(request.training_job_id))
        )

    async def WatchTrainingJob(
        self, request: pb.WatchTrainingJobRequest, context: Any
    ) -> AsyncIterator[pb.WatchTrainingJobResponse]:
        async for event in self.jobs.watch(request.training_job_id, request.after_sequence):
            yield pb.WatchTrainingJobResponse(event=event)

    async def _train(self, job: Job) -> Json:
        if self.fault is not None:
            raise self.fault
        name = job.spec["model_version_id"].partition("@")[0]
        return {"model_version_id": self._registry.models.register(f"{job.job_id}/result", name, job.job_id)}


def _training_job(job: Job) -> pb.TrainingJob:
    return pb.TrainingJob(
        training_job_id=job.job_id,
        job=job_to_proto(job),
        spec=ParseDict(job.spec, pb.TrainingJobSpec()),
        model_version_id=(job.result or {}).get("model_version_id", ""),
    )
