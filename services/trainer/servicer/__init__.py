"""The RPCs of this service: wire in, use case, wire out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc.aio
from drillyard.trainer.v1 import attempt_pb2, preflight_pb2, trainer_service_pb2_grpc
from drillyard.trainer.v1 import training_job_pb2 as pb

from services.chassis.jobs.convert import watch_response
from services.chassis.wire import from_message
from services.trainer.convert import preflight_to_proto, report_from_proto, training_job_to_proto
from services.trainer.domain.spec import TrainingJobSpec
from services.trainer.jobs.preflight import Preflight
from services.trainer.servicer.checkpoint import CheckpointRpcs
from services.trainer.usecases import TrainingUseCases

SERVICE_NAME = "drillyard.trainer.v1.TrainerService"

_Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class TrainerServicer(CheckpointRpcs, trainer_service_pb2_grpc.TrainerServiceServicer):
    """Answers `TrainerService`; the contract documents each method."""

    def __init__(self, usecases: TrainingUseCases, preflight: Preflight) -> None:
        self.usecases = usecases
        self._preflight = preflight
        self._training_jobs = usecases.resource

    async def CreateTrainingJob(
        self, request: pb.CreateTrainingJobRequest, context: _Context
    ) -> pb.CreateTrainingJobResponse:
        """Start a job."""
        job = await self.usecases.create(request.request_id, from_message(TrainingJobSpec, request.spec))
        return pb.CreateTrainingJobResponse(training_job=training_job_to_proto(job))

    async def GetTrainingJob(self, request: pb.GetTrainingJobRequest, context: _Context) -> pb.GetTrainingJobResponse:
        """Return a job."""
        job = await self._training_jobs.get(request.training_job_id)
        return pb.GetTrainingJobResponse(training_job=training_job_to_proto(job))

    async def ListTrainingJobs(
        self, request: pb.ListTrainingJobsRequest, context: _Context
    ) -> pb.ListTrainingJobsResponse:
        """List jobs, newest first."""
        jobs, token = await self._training_jobs.list(request.page_size, request.page_token)
        return pb.ListTrainingJobsResponse(training_jobs=map(training_job_to_proto, jobs), next_page_token=token)

    async def DeleteTrainingJob(
        self, request: pb.DeleteTrainingJobRequest, context: _Context
    ) -> pb.DeleteTrainingJobResponse:
        """Delete a job that has ended."""
        await self._training_jobs.delete(request.training_job_id)
        return pb.DeleteTrainingJobResponse()

    async def CancelTrainingJob(
        self, request: pb.CancelTrainingJobRequest, context: _Context
    ) -> pb.CancelTrainingJobResponse:
        """Cancel a job."""
        job = await self._training_jobs.cancel(request.training_job_id)
        return pb.CancelTrainingJobResponse(training_job=training_job_to_proto(job))

    async def PauseTrainingJob(
        self, request: pb.PauseTrainingJobRequest, context: _Context
    ) -> pb.PauseTrainingJobResponse:
        """Pause a job after its step."""
        job = await self._training_jobs.pause(request.training_job_id)
        return pb.PauseTrainingJobResponse(training_job=training_job_to_proto(job))

    async def ResumeTrainingJob(
        self, request: pb.ResumeTrainingJobRequest, context: _Context
    ) -> pb.ResumeTrainingJobResponse:
        """Let a paused job go on."""
        job = await self._training_jobs.resume(request.training_job_id)
        return pb.ResumeTrainingJobResponse(training_job=training_job_to_proto(job))

    async def PreflightTrainingJob(
        self, request: preflight_pb2.PreflightTrainingJobRequest, context: _Context
    ) -> preflight_pb2.PreflightTrainingJobResponse:
        """Look at a job that does not exist yet."""
        preflight = await self._preflight.look(from_message(TrainingJobSpec, request.spec), request.line)
        return preflight_pb2.PreflightTrainingJobResponse(preflight=preflight_to_proto(preflight))

    async def WatchTrainingJob(
        self, request: pb.WatchTrainingJobRequest, context: _Context
    ) -> AsyncIterator[pb.WatchTrainingJobResponse]:
        """Stream the events of a job."""
        async with aclosing(self._training_jobs.watch(request.training_job_id, request.after_sequence)) as events:
            async for event in events:
                yield watch_response(pb.WatchTrainingJobResponse, event)

    async def ReportAttempt(
        self, request: attempt_pb2.ReportAttemptRequest, context: _Context
    ) -> attempt_pb2.ReportAttemptResponse:
        """Take the report of a training process."""
        return attempt_pb2.ReportAttemptResponse(stop_requested=await self.usecases.report(report_from_proto(request)))
