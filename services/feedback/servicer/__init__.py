"""The RPCs of this service: wire in, use case, wire out; one file per noun."""

from __future__ import annotations

from services.chassis.jobs import JobResource
from services.feedback.domain.loop import Loop
from services.feedback.domain.shipment import Shipment
from services.feedback.servicer.loops import LoopMethods
from services.feedback.servicer.shipments import ShipmentMethods
from services.feedback.usecases.jobs import FeedbackUseCases

FULL_SERVICE_NAME = "drillyard.feedback.v1.FeedbackService"


class FeedbackServicer(LoopMethods, ShipmentMethods):
    """Implements `drillyard.feedback.v1.FeedbackService`; the contract documents each method."""

    def __init__(self, usecases: FeedbackUseCases, loops: JobResource[Loop], shipments: JobResource[Shipment]) -> None:
        self._usecases = usecases
        self._loops = loops
        self._shipments = shipments
