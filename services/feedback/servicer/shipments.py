"""The RPCs of shipments."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from drillyard.feedback.v1 import feedback_service_pb2_grpc
from drillyard.feedback.v1 import shipment_pb2 as pb

from services.chassis.jobs import JobResource
from services.chassis.jobs.convert import watch_response
from services.feedback.convert.shipments import shipment_spec_from_proto, shipment_to_proto
from services.feedback.domain.shipment import Shipment
from services.feedback.usecases.jobs import FeedbackUseCases


class ShipmentMethods(feedback_service_pb2_grpc.FeedbackServiceServicer):
    """Starts, shows, follows and cancels shipments."""

    _usecases: FeedbackUseCases
    _shipments: JobResource[Shipment]

    async def CreateShipment(self, request: pb.CreateShipmentRequest, context: Any) -> pb.CreateShipmentResponse:
        """Start a shipment."""
        shipment = await self._usecases.create_shipment(request.request_id, shipment_spec_from_proto(request.spec))
        return pb.CreateShipmentResponse(shipment=shipment_to_proto(shipment))

    async def GetShipment(self, request: pb.GetShipmentRequest, context: Any) -> pb.GetShipmentResponse:
        """Return one shipment."""
        shipment = await self._shipments.get(request.shipment_id)
        return pb.GetShipmentResponse(shipment=shipment_to_proto(shipment))

    async def ListShipments(self, request: pb.ListShipmentsRequest, context: Any) -> pb.ListShipmentsResponse:
        """List shipments, newest first."""
        shipments, token = await self._shipments.list(request.page_size, request.page_token)
        return pb.ListShipmentsResponse(shipments=map(shipment_to_proto, shipments), next_page_token=token)

    async def CancelShipment(self, request: pb.CancelShipmentRequest, context: Any) -> pb.CancelShipmentResponse:
        """Cancel a shipment and the job it waits for."""
        shipment = await self._shipments.cancel(request.shipment_id)
        return pb.CancelShipmentResponse(shipment=shipment_to_proto(shipment))

    async def WatchShipment(
        self, request: pb.WatchShipmentRequest, context: Any
    ) -> AsyncIterator[pb.WatchShipmentResponse]:
        """Stream the events of a shipment."""
        async with aclosing(self._shipments.watch(request.shipment_id, request.after_sequence)) as events:
            async for event in events:
                yield watch_response(pb.WatchShipmentResponse, event)
