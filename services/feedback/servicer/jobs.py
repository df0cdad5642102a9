"""The RPCs of durable jobs and of schedules, whose runs are jobs."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from drillyard.feedback.v1 import (
    dataset_build_pb2,
    feedback_file_pb2,
    loop_answer_pb2,
    loop_pb2,
    loop_plan_pb2,
    shipment_pb2,
)
from drillyard.feedback.v1 import schedule_pb2 as pb
from drillyard.feedback.v1 import scheduled_run_pb2 as run_pb

from services.chassis.artifacts import Artifact
from services.chassis.jobs import JobResource
from services.chassis.jobs.convert import ResourceRpcs
from services.chassis.wire import from_message, to_message
from services.feedback.convert.items import import_to_proto
from services.feedback.convert.jobs import (
    build_spec_from_proto,
    build_to_proto,
    change_from_proto,
    loop_to_proto,
    run_to_proto,
    schedule_spec_from_proto,
    schedule_to_proto,
    shipment_spec_from_proto,
    shipment_to_proto,
    spec_from_proto,
)
from services.feedback.domain.dataset_build import DatasetBuild
from services.feedback.domain.item_spec import FeedbackImport
from services.feedback.domain.loop import Loop
from services.feedback.domain.shipment import Shipment
from services.feedback.usecases.dataset_builds import BuildUseCases
from services.feedback.usecases.items import ItemUseCases
from services.feedback.usecases.jobs import FeedbackUseCases
from services.feedback.usecases.plans import PlanUseCases
from services.feedback.usecases.schedules import ScheduleUseCases

_loops = ResourceRpcs(attrgetter("loops"), loop_to_proto)
_shipments = ResourceRpcs(attrgetter("shipments"), shipment_to_proto)
_builds = ResourceRpcs(attrgetter("builds"), build_to_proto)
_imports = ResourceRpcs(attrgetter("imports"), import_to_proto)


class LoopRpcs:
    """Create, get, list, delete, cancel and watch."""

    usecases: FeedbackUseCases
    plans: PlanUseCases
    loops: JobResource[Loop]
    CreateLoop = _loops.create(loop_pb2.CreateLoopResponse, spec_from_proto, attrgetter("usecases.create_loop"))
    GetLoop = _loops.get(loop_pb2.GetLoopResponse)
    ListLoops = _loops.list(loop_pb2.ListLoopsResponse)
    DeleteLoop = _loops.delete(loop_pb2.DeleteLoopResponse)
    CancelLoop = _loops.cancel(loop_pb2.CancelLoopResponse)
    WatchLoop = _loops.watch(loop_pb2.WatchLoopResponse)

    async def PlanLoop(self, request: loop_plan_pb2.PlanLoopRequest, context: Any) -> loop_plan_pb2.PlanLoopResponse:
        """Say what a loop would do."""
        plan = await self.plans.plan_loop(spec_from_proto(request.spec))
        return loop_plan_pb2.PlanLoopResponse(plan=to_message(plan, loop_plan_pb2.LoopPlan))

    async def DecideLoop(
        self, request: loop_answer_pb2.DecideLoopRequest, context: Any
    ) -> loop_answer_pb2.DecideLoopResponse:
        """Approve or change the decision that a loop waits with."""
        change = change_from_proto(request.change)
        loop = await self.usecases.decide_loop(request.loop_id, request.number, change)
        return loop_answer_pb2.DecideLoopResponse(loop=loop_to_proto(loop))


class ShipmentRpcs:
    """Create, get, list, cancel and watch."""

    usecases: FeedbackUseCases
    shipments: JobResource[Shipment]
    CreateShipment = _shipments.create(
        shipment_pb2.CreateShipmentResponse, shipment_spec_from_proto, attrgetter("usecases.create_shipment")
    )
    GetShipment = _shipments.get(shipment_pb2.GetShipmentResponse)
    ListShipments = _shipments.list(shipment_pb2.ListShipmentsResponse)
    CancelShipment = _shipments.cancel(shipment_pb2.CancelShipmentResponse)
    WatchShipment = _shipments.watch(shipment_pb2.WatchShipmentResponse)


class DatasetBuildRpcs:
    """Create, get, list, cancel and watch."""

    build_usecases: BuildUseCases
    builds: JobResource[DatasetBuild]
    CreateDatasetBuild = _builds.create(
        dataset_build_pb2.CreateDatasetBuildResponse,
        build_spec_from_proto,
        lambda servicer: servicer.build_usecases.create,
    )
    GetDatasetBuild = _builds.get(dataset_build_pb2.GetDatasetBuildResponse)
    ListDatasetBuilds = _builds.list(dataset_build_pb2.ListDatasetBuildsResponse)
    CancelDatasetBuild = _builds.cancel(dataset_build_pb2.CancelDatasetBuildResponse)
    WatchDatasetBuild = _builds.watch(dataset_build_pb2.WatchDatasetBuildResponse)


class FeedbackImportRpcs:
    """Create, get, list and watch."""

    items: ItemUseCases
    imports: JobResource[FeedbackImport]
    GetFeedbackImport = _imports.get(feedback_file_pb2.GetFeedbackImportResponse)
    ListFeedbackImports = _imports.list(feedback_file_pb2.ListFeedbackImportsResponse)
    WatchFeedbackImport = _imports.watch(feedback_file_pb2.WatchFeedbackImportResponse)

    async def CreateFeedbackImport(
        self, request: feedback_file_pb2.CreateFeedbackImportRequest, context: Any
    ) -> feedback_file_pb2.CreateFeedbackImportResponse:
        """Start to import a file."""
        artifact = from_message(Artifact, request.artifact, media_type="")
        feedback_import = await self.items.create_import(request.request_id, artifact)
        return feedback_file_pb2.CreateFeedbackImportResponse(feedback_import=import_to_proto(feedback_import))


_schedules = ResourceRpcs(attrgetter("schedules"), schedule_to_proto)
_runs = ResourceRpcs(attrgetter("schedules"), run_to_proto)


class ScheduleRpcs:
    """Create, get, list, pause, resume, delete and run; get, cancel and list what was due."""

    schedules: ScheduleUseCases
    CreateSchedule = _schedules.create(
        pb.CreateScheduleResponse, schedule_spec_from_proto, attrgetter("schedules.create")
    )
    GetSchedule = _schedules.get(pb.GetScheduleResponse)
    ListSchedules = _schedules.list(pb.ListSchedulesResponse)
    PauseSchedule = _schedules.pause(pb.PauseScheduleResponse)
    ResumeSchedule = _schedules.resume(pb.ResumeScheduleResponse)
    DeleteSchedule = _schedules.delete(pb.DeleteScheduleResponse)
    GetScheduledRun = _runs.get(run_pb.GetScheduledRunResponse, "get_run")
    CancelScheduledRun = _runs.get(run_pb.CancelScheduledRunResponse, "cancel_run")

    async def RunSchedule(self, request: run_pb.RunScheduleRequest, context: Any) -> run_pb.RunScheduleResponse:
        """Run a schedule now."""
        run = await self.schedules.run_now(request.request_id, request.schedule_id)
        return run_pb.RunScheduleResponse(scheduled_run=run_to_proto(run))

    async def ListScheduledRuns(
        self, request: run_pb.ListScheduledRunsRequest, context: Any
    ) -> run_pb.ListScheduledRunsResponse:
        """List the due times of a schedule."""
        page, token = await self.schedules.list_runs(request.schedule_id, request.page_size, request.page_token)
        return run_pb.ListScheduledRunsResponse(scheduled_runs=map(run_to_proto, page), next_page_token=token)
