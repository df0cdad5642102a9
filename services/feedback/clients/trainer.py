"""The trainer over gRPC."""

from __future__ import annotations

import grpc.aio
from drillyard.trainer.v1 import checkpoint_pb2, trainer_service_pb2_grpc
from drillyard.trainer.v1 import training_job_pb2 as pb
from drillyard.trainer.v1.training_spec_pb2 import TrainingJobSpec
from google.protobuf.json_format import ParseDict

from services.chassis.errors import NotFound
from services.chassis.waiting import listed, patiently
from services.feedback.clients.jobs import JobClient
from services.feedback.domain.work import TrainingOrder

_PEER = "the trainer"
_PAGE_SIZE = 1000


class GrpcTrainer(JobClient):
    """Implements `ports.neighbours.Trainer`; every call is patient."""

    _peer = _PEER
    _noun = "TrainingJob"
    _messages = pb

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
        job = await self._get(training_job_id)
        return str(job.model_version_id)

    async def num_trained_tokens(self, training_job_id: str) -> int:
        """Return how many tokens the steps of a job trained on; of a step that two attempts made, the later counts."""
        return int(sum((await self._curve(training_job_id, "tokens")).values()))

    async def num_drawn_tokens(self, training_job_id: str) -> int:
        """Return how many tokens the model wrote for the steps of a job."""
        return int(sum((await self._curve(training_job_id, "drawn_tokens")).values()))

    async def adherence(self, training_job_id: str) -> float | None:
        """Return the share of validation answers that conform after a job's last step; None if none was asked for."""
        shares = await self._curve(training_job_id, "adherence")
        return shares[max(shares)] if shares else None

    async def card(self, training_job_id: str) -> str:
        """Return what a model card says of a training: its data and settings; nothing of one that was deleted."""
        try:
            spec = (await self._get(training_job_id)).spec
        except NotFound:
            return ""
        return (
            f"Trained from `{spec.model_version_id}` on the dataset `{spec.dataset_version_id}`: "
            f"{spec.num_epochs} epochs, {spec.batch_size} rows a step, learning rate {spec.learning_rate:g}, "
            f"seed {spec.seed}."
        )

    async def _curve(self, training_job_id: str, metric: str) -> dict[int, float]:
        request = checkpoint_pb2.ListCurvePointsRequest(
            training_job_id=training_job_id, metric=metric, page_size=_PAGE_SIZE
        )
        return {point.step: point.value async for point in listed(self._stub.ListCurvePoints, request, _PEER)}
