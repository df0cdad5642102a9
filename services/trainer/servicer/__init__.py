"""The RPCs of this service: wire in, use case, wire out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from operator import attrgetter

from drillyard.trainer.v1 import attempt_pb2, preflight_pb2, trainer_service_pb2_grpc
from drillyard.trainer.v1 import training_job_pb2 as pb

from services.chassis.calls import Context
from services.chassis.jobs.convert import ResourceRpcs
from services.chassis.wire import from_message
from services.trainer.convert import preflight_to_proto, report_from_proto, training_job_to_proto
from services.trainer.domain.spec import TrainingJobSpec
from services.trainer.jobs.preflight import Preflight
from services.trainer.servicer.checkpoint import CheckpointRpcs
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


@dataclass(frozen=True)
class TrainerServicer(TrainingJobRpcs, CheckpointRpcs, trainer_service_pb2_grpc.TrainerServiceServicer):
    """Answers `TrainerService`; the contract documents each method."""

    usecases: TrainingUseCases
    preflight: Preflight
