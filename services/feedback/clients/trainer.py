"""The trainer over gRPC."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import grpc.aio
from drillyard.job.v1 import job_pb2
from drillyard.trainer.v1 import trainer_service_pb2_grpc
from drillyard.trainer.v1 import training_job_pb2 as pb
from drillyard.trainer.v1.training_spec_pb2 import TrainingJobSpec
from google.protobuf.json_format import ParseDict

from services.chassis.waiting import patiently
from services.feedback.clients.jobs import progress_until_end, work_state
from services.feedback.domain.work import TrainingOrder, WorkProgress, WorkState

_PEER = "the trainer"


class GrpcTrainer:
    """Implements `ports.Trainer`; every call is patient."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = trainer_service_pb2_grpc.TrainerServiceStub(channel)

    async def start(self, request_id: str, order: TrainingOrder) -> str:
        """Start a training job once per request id and return its id."""
        spec = ParseDict(dict(order.settings), TrainingJobSpec())
        spec.model_version_id = order.model_version_id
        spec.dataset_version_id = order.dataset_version_id
        spec.seed = order.seed
        request = pb.CreateTrainingJobRequest(request_id=request_id, spec=spec)
        response = await patiently(lambda: self._stub.CreateTrainingJob(request), _PEER)
        return str(response.training_job.training_job_id)

    async def trained_version(self, training_job_id: str) -> str:
        """Return the model version that a job which has SUCCEEDED registered."""
        job = await patiently(lambda: self._training_job(training_job_id), _PEER)
        return str(job.model_version_id)

    def watch(self, work_id: str) -> AsyncGenerator[WorkProgress, None]:
        """Yield how far the training is until it has ended."""
        return progress_until_end(
            lambda: self._job(work_id),
            lambda after: self._stub.WatchTrainingJob(
                pb.WatchTrainingJobRequest(training_job_id=work_id, after_sequence=after)
            ),
            _PEER,
        )

    async def state(self, work_id: str) -> WorkState:
        """Return how the training stands."""
        return work_state(await patiently(lambda: self._job(work_id), _PEER))

    async def cancel(self, work_id: str) -> None:
        """Cancel the training.

        Raises:
            FailedPrecondition: It has ended.
        """
        request = pb.CancelTrainingJobRequest(training_job_id=work_id)
        await patiently(lambda: self._stub.CancelTrainingJob(request), _PEER)

    async def _training_job(self, training_job_id: str) -> pb.TrainingJob:
        response = await self._stub.GetTrainingJob(pb.GetTrainingJobRequest(training_job_id=training_job_id))
        return response.training_job

    async def _job(self, work_id: str) -> job_pb2.Job:
        return (await self._training_job(work_id)).job
