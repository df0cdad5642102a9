"""The RPCs of this service: wire in, use case, wire out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc.aio
from drillyard.trainer.v1 import attempt_pb2, checkpoint_pb2, trainer_service_pb2_grpc, training_job_pb2

from services.chassis.jobs.convert import event_to_proto
from services.trainer.convert import (
    checkpoint_to_proto,
    point_to_proto,
    report_from_proto,
    spec_from_proto,
    training_job_to_proto,
)
from services.trainer.usecases import TrainingUseCases

SERVICE_NAME = "drillyard.trainer.v1.TrainerService"

_Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class TrainerServicer(trainer_service_pb2_grpc.TrainerServiceServicer):
    """Answers `TrainerService`; the contract documents each method."""

    def __init__(self, usecases: TrainingUseCases) -> None:
        self._usecases = usecases

    async def CreateTrainingJob(
        self, request: training_job_pb2.CreateTrainingJobRequest, context: _Context
    ) -> training_job_pb2.CreateTrainingJobResponse:
        """Start a job."""
        created = await self._usecases.create(request.request_id, spec_from_proto(request.spec))
        return training_job_pb2.CreateTrainingJobResponse(training_job=training_job_to_proto(created))

    async def GetTrainingJob(
        self, request: training_job_pb2.GetTrainingJobRequest, context: _Context
    ) -> training_job_pb2.GetTrainingJobResponse:
        """Return a job."""
        found = await self._usecases.get(request.training_job_id)
        return training_job_pb2.GetTrainingJobResponse(training_job=training_job_to_proto(found))

    async def ListTrainingJobs(
        self, request: training_job_pb2.ListTrainingJobsRequest, context: _Context
    ) -> training_job_pb2.ListTrainingJobsResponse:
        """List jobs, newest first."""
        found, token = await self._usecases.list_jobs(request.page_size, request.page_token)
        return training_job_pb2.ListTrainingJobsResponse(
            training_jobs=map(training_job_to_proto, found), next_page_token=token
        )

    async def CancelTrainingJob(
        self, request: training_job_pb2.CancelTrainingJobRequest, context: _Context
    ) -> training_job_pb2.CancelTrainingJobResponse:
        """Cancel a job."""
        found = await self._usecases.cancel(request.training_job_id)
        return training_job_pb2.CancelTrainingJobResponse(training_job=training_job_to_proto(found))

    async def PauseTrainingJob(
        self, request: training_job_pb2.PauseTrainingJobRequest, context: _Context
    ) -> training_job_pb2.PauseTrainingJobResponse:
        """Refuse; not built."""
        await self._usecases.pause(request.training_job_id)

    async def ResumeTrainingJob(
        self, request: training_job_pb2.ResumeTrainingJobRequest, context: _Context
    ) -> training_job_pb2.ResumeTrainingJobResponse:
        """Refuse; not built."""
        await self._usecases.resume(request.training_job_id)

    async def WatchTrainingJob(
        self, request: training_job_pb2.WatchTrainingJobRequest, context: _Context
    ) -> AsyncIterator[training_job_pb2.WatchTrainingJobResponse]:
        """Stream the events of a job."""
        async for event in self._usecases.watch(request.training_job_id, request.after_sequence):
            yield training_job_pb2.WatchTrainingJobResponse(event=event_to_proto(event))

    async def ListCheckpoints(
        self, request: checkpoint_pb2.ListCheckpointsRequest, context: _Context
    ) -> checkpoint_pb2.ListCheckpointsResponse:
        """List the checkpoints of a job, newest first."""
        found, token = await self._usecases.list_checkpoints(
            request.training_job_id, request.page_size, request.page_token
        )
        return checkpoint_pb2.ListCheckpointsResponse(
            checkpoints=map(checkpoint_to_proto, found), next_page_token=token
        )

    async def ListCurvePoints(
        self, request: checkpoint_pb2.ListCurvePointsRequest, context: _Context
    ) -> checkpoint_pb2.ListCurvePointsResponse:
        """List measured values by step."""
        found, token = await self._usecases.list_curve_points(
            request.training_job_id, request.metric, page_size=request.page_size, page_token=request.page_token
        )
        return checkpoint_pb2.ListCurvePointsResponse(curve_points=map(point_to_proto, found), next_page_token=token)

    async def ReportAttempt(
        self, request: attempt_pb2.ReportAttemptRequest, context: _Context
    ) -> attempt_pb2.ReportAttemptResponse:
        """Take the report of a training process."""
        return attempt_pb2.ReportAttemptResponse(stop_requested=await self._usecases.report(report_from_proto(request)))
