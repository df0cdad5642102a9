"""The RPCs of durable jobs: loops, shipments, dataset builds and imports of feedback."""

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

from services.chassis.artifacts import Artifact
from services.chassis.jobs import JobResource
from services.chassis.jobs.convert import ResourceRpcs
from services.chassis.wire import from_message, to_message
from services.feedback.convert.dataset_builds import build_spec_from_proto, build_to_proto
from services.feedback.convert.items import import_to_proto
from services.feedback.convert.loops import change_from_proto, loop_to_proto, spec_from_proto
from services.feedback.convert.shipments import shipment_spec_from_proto, shipment_to_proto
from services.feedback.domain.dataset_build import DatasetBuild
from services.feedback.domain.item_spec import FeedbackImport
from services.feedback.domain.loop import Loop
from services.feedback.domain.shipment import Shipment
from services.feedback.usecases.dataset_builds import BuildUseCases
from services.feedback.usecases.items import ItemUseCases
from services.feedback.usecases.jobs import FeedbackUseCases
from services.feedback.usecases.plans import PlanUseCases

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
