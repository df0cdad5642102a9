"""The RPCs of this service: wire in, use case, wire out; one file per noun."""

from __future__ import annotations

from services.chassis.jobs import JobResource
from services.feedback.domain.dataset_build import DatasetBuild
from services.feedback.domain.loop import Loop
from services.feedback.domain.shipment import Shipment
from services.feedback.servicer.dataset_builds import DatasetBuildMethods
from services.feedback.servicer.items import ItemMethods
from services.feedback.servicer.loops import LoopMethods
from services.feedback.servicer.shipments import ShipmentMethods
from services.feedback.usecases.dataset_builds import BuildUseCases
from services.feedback.usecases.items import ItemUseCases
from services.feedback.usecases.jobs import FeedbackUseCases

FULL_SERVICE_NAME = "drillyard.feedback.v1.FeedbackService"


class FeedbackServicer(LoopMethods, ShipmentMethods, ItemMethods, DatasetBuildMethods):
    """Implements `drillyard.feedback.v1.FeedbackService`; the contract documents each method."""

    def __init__(
        self,
        usecases: FeedbackUseCases,
        loops: JobResource[Loop],
        shipments: JobResource[Shipment],
        *,
        items: ItemUseCases,
        build_usecases: BuildUseCases,
        builds: JobResource[DatasetBuild],
    ) -> None:
        self._usecases = usecases
        self._loops = loops
        self._shipments = shipments
        self._items = items
        self._build_usecases = build_usecases
        self._builds = builds
