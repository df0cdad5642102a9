"""The RPCs of this service: wire in, use case, wire out; one file per noun."""

from __future__ import annotations

from dataclasses import dataclass

from drillyard.feedback.v1.feedback_service_pb2_grpc import FeedbackServiceServicer

from services.chassis.jobs import JobResource
from services.feedback.domain.dataset_build import DatasetBuild
from services.feedback.domain.item_spec import FeedbackImport
from services.feedback.domain.loop import Loop
from services.feedback.domain.shipment import Shipment
from services.feedback.servicer.chats import ChatRpcs
from services.feedback.servicer.items import ItemRpcs
from services.feedback.servicer.jobs import DatasetBuildRpcs, FeedbackImportRpcs, LoopRpcs, ScheduleRpcs, ShipmentRpcs
from services.feedback.usecases.chats import ChatUseCases
from services.feedback.usecases.dataset_builds import BuildUseCases
from services.feedback.usecases.items import ItemUseCases
from services.feedback.usecases.jobs import FeedbackUseCases
from services.feedback.usecases.plans import PlanUseCases
from services.feedback.usecases.schedules import ScheduleUseCases
from services.feedback.usecases.sessions import SessionSuiteUseCases

FULL_SERVICE_NAME = "drillyard.feedback.v1.FeedbackService"


@dataclass(frozen=True, kw_only=True)
class FeedbackServicer(
    LoopRpcs,
    ShipmentRpcs,
    DatasetBuildRpcs,
    FeedbackImportRpcs,
    ItemRpcs,
    ChatRpcs,
    ScheduleRpcs,
    FeedbackServiceServicer,
):
    """Answers `FeedbackService`; the contract documents each method."""

    usecases: FeedbackUseCases
    plans: PlanUseCases
    loops: JobResource[Loop]
    shipments: JobResource[Shipment]
    build_usecases: BuildUseCases
    builds: JobResource[DatasetBuild]
    items: ItemUseCases
    imports: JobResource[FeedbackImport]
    chats: ChatUseCases
    schedules: ScheduleUseCases
    session_suites: SessionSuiteUseCases
