"""The RPCs of this service: wire in, use case, wire out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from operator import attrgetter

from drillyard.trainer.v1 import attempt_pb2, checkpoint_pb2, preflight_pb2, trainer_service_pb2_grpc
from drillyard.trainer.v1 import training_job_pb2 as pb

from services.chassis.calls import Context
from services.chassis.jobs.convert import ResourceRpcs
from services.chassis.wire import from_message, to_message
from services.trainer.convert import preflight_to_proto, report_from_proto, training_job_to_proto
from services.trainer.domain.spec import TrainingJobSpec
from services.trainer.jobs.preflight import Preflight
from services.trainer.usecases import TrainingUseCases

SERVICE_NAME = "drillyard.trainer.v1.TrainerService"

_rpcs = ResourceRpcs(attrgetter("usecases.resource"), training_job_to_proto)


class TrainingJobRpcs:
    """Create, get, list, delete, cancel, pause, resume and watch; look before; take reports of attempts."""

    usecases: TrainingUseCases
    preflight: Preflight
    CreateTrainingJob = _rpcs.create(
        pb.CreateTrainingJobResponse, partial(from_message, TrainingJobSpec), attrgetter("usecases.create")
    )
    GetTrainingJob = _rpcs.get(pb.GetTrainingJobResponse)
    ListTrainingJobs = _rpcs.list(pb.ListTrainingJobsResponse)
    DeleteTrainingJob = _rpcs.delete(pb.DeleteTrainingJobResponse)
    CancelTrainingJob = _rpcs.cancel(pb.CancelTrainingJobResponse)
    PauseTrainingJob = _rpcs.pause(pb.PauseTrainingJobResponse)
    ResumeTrainingJob = _rpcs.resume(pb.ResumeTrainingJobResponse)
    WatchTrainingJob = _rpcs.watch(pb.WatchTrainingJobResponse)

    async def PreflightTrainingJob(
        self, request: preflight_pb2.PreflightTrainingJobRequest, context: Context
    ) -> preflight_pb2.PreflightTrainingJobResponse:
        """Look at a job that does not exist yet."""
        preflight = await self.preflight.look(from_message(TrainingJobSpec, request.spec), request.line)
        return preflight_pb2.PreflightTrainingJobResponse(preflight=preflight_to_proto(preflight))

    async def ReportAttempt(
        self, request: attempt_pb2.ReportAttemptRequest, context: Context
    ) -> attempt_pb2.ReportAttemptResponse:
        """Take the report of a training process."""
        return attempt_pb2.ReportAttemptResponse(stop_requested=await self.usecases.report(report_from_proto(request)))


class CheckpointRpcs:
    """Get, list and delete."""

    usecases: TrainingUseCases

    async def ListCheckpoints(
        self, request: checkpoint_pb2.ListCheckpointsRequest, context: Context
    ) -> checkpoint_pb2.ListCheckpointsResponse:
        """List the checkpoints of a job, newest first."""
        checkpoints, token = await self.usecases.list_checkpoints(
            request.training_job_id, request.page_size, request.page_token
        )
        return checkpoint_pb2.ListCheckpointsResponse(
            checkpoints=[to_message(item, checkpoint_pb2.Checkpoint) for item in checkpoints], next_page_token=token
        )

    async def GetCheckpoint(
        self, request: checkpoint_pb2.GetCheckpointRequest, context: Context
    ) -> checkpoint_pb2.GetCheckpointResponse:
        """Return a checkpoint with its files."""
        checkpoint, files = await self.usecases.get_checkpoint(request.training_job_id, request.step)
        return checkpoint_pb2.GetCheckpointResponse(
            checkpoint=to_message(checkpoint, checkpoint_pb2.Checkpoint),
            files=[to_message(item, checkpoint_pb2.CheckpointFile) for item in files],
        )

    async def DeleteCheckpoint(
        self, request: checkpoint_pb2.DeleteCheckpointRequest, context: Context
    ) -> checkpoint_pb2.DeleteCheckpointResponse:
        """Delete a checkpoint."""
        await self.usecases.delete_checkpoint(request.training_job_id, request.step)
        return checkpoint_pb2.DeleteCheckpointResponse()

    async def ListCurvePoints(
        self, request: checkpoint_pb2.ListCurvePointsRequest, context: Context
    ) -> checkpoint_pb2.ListCurvePointsResponse:
        """List measured values by step."""
        points, token = await self.usecases.list_curve_points(
            request.training_job_id, request.metric, page_size=request.page_size, page_token=request.page_token
        )
        return checkpoint_pb2.ListCurvePointsResponse(
            curve_points=[to_message(point, checkpoint_pb2.CurvePoint) for point in points], next_page_token=token
        )


@dataclass(frozen=True)
class TrainerServicer(TrainingJobRpcs, CheckpointRpcs, trainer_service_pb2_grpc.TrainerServiceServicer):
    """Answers `TrainerService`; the contract documents each method."""

    usecases: TrainingUseCases
    preflight: Preflight
