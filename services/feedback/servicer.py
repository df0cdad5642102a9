"""The service's RPCs: wire in, use case, wire out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from drillyard.feedback.v1 import feedback_service_pb2_grpc, shipment_pb2
from drillyard.feedback.v1 import loop_pb2 as pb

from services.chassis.jobs import JobResource
from services.chassis.jobs.convert import watch_response
from services.feedback.convert import loop_to_proto, shipment_spec_from_proto, shipment_to_proto, spec_from_proto
from services.feedback.domain.loop import Loop
from services.feedback.domain.shipment import Shipment
from services.feedback.usecases import FeedbackUseCases

FULL_SERVICE_NAME = "drillyard.feedback.v1.FeedbackService"


class FeedbackServicer(feedback_service_pb2_grpc.FeedbackServiceServicer):
    """Implements `drillyard.feedback.v1.FeedbackService`."""

    def __init__(self, usecases: FeedbackUseCases, loops: JobResource[Loop], shipments: JobResource[Shipment]) -> None:
        self._usecases = usecases
        self._loops = loops
        self._shipments = shipments

    async def CreateLoop(self, request: pb.CreateLoopRequest, context: Any) -> pb.CreateLoopResponse:
        """Start a loop."""
        loop = await self._usecases.create_loop(request.request_id, spec_from_proto(request.spec))
        return pb.CreateLoopResponse(loop=loop_to_proto(loop))

    async def GetLoop(self, request: pb.GetLoopRequest, context: Any) -> pb.GetLoopResponse:
        """Return one loop."""
        return pb.GetLoopResponse(loop=loop_to_proto(await self._loops.get(request.loop_id)))

    async def ListLoops(self, request: pb.ListLoopsRequest, context: Any) -> pb.ListLoopsResponse:
        """List loops, newest first."""
        loops, next_page_token = await self._loops.list(request.page_size, request.page_token)
        return pb.ListLoopsResponse(loops=[loop_to_proto(loop) for loop in loops], next_page_token=next_page_token)

    async def DeleteLoop(self, request: pb.DeleteLoopRequest, context: Any) -> pb.DeleteLoopResponse:
        """Delete a loop with its history."""
        await self._loops.delete(request.loop_id)
        return pb.DeleteLoopResponse()

    async def CancelLoop(self, request: pb.CancelLoopRequest, context: Any) -> pb.CancelLoopResponse:
        """Cancel a loop and the job it waits for."""
        return pb.CancelLoopResponse(loop=loop_to_proto(await self._loops.cancel(request.loop_id)))

    async def WatchLoop(self, request: pb.WatchLoopRequest, context: Any) -> AsyncIterator[pb.WatchLoopResponse]:
        """Stream the events of a loop."""
        async with aclosing(self._loops.watch(request.loop_id, request.after_sequence)) as events:
            async for event in events:
                yield watch_response(pb.WatchLoopResponse, event)

    async def CreateShipment(
        self, request: shipment_pb2.CreateShipmentRequest, context: Any
    ) -> shipment_pb2.CreateShipmentResponse:
        """Start a shipment."""
        shipment = await self._usecases.create_shipment(request.request_id, shipment_spec_from_proto(request.spec))
        return shipment_pb2.CreateShipmentResponse(shipment=shipment_to_proto(shipment))

    async def GetShipment(
        self, request: shipment_pb2.GetShipmentRequest, context: Any
    ) -> shipment_pb2.GetShipmentResponse:
        """Return one shipment."""
        shipment = await self._shipments.get(request.shipment_id)
        return shipment_pb2.GetShipmentResponse(shipment=shipment_to_proto(shipment))

    async def ListShipments(
        self, request: shipment_pb2.ListShipmentsRequest, context: Any
    ) -> shipment_pb2.ListShipmentsResponse:
        """List shipments, newest first."""
        shipments, token = await self._shipments.list(request.page_size, request.page_token)
        return shipment_pb2.ListShipmentsResponse(shipments=map(shipment_to_proto, shipments), next_page_token=token)

    async def CancelShipment(
        self, request: shipment_pb2.CancelShipmentRequest, context: Any
    ) -> shipment_pb2.CancelShipmentResponse:
        """Cancel a shipment and the job it waits for."""
        shipment = await self._shipments.cancel(request.shipment_id)
        return shipment_pb2.CancelShipmentResponse(shipment=shipment_to_proto(shipment))

    async def WatchShipment(
        self, request: shipment_pb2.WatchShipmentRequest, context: Any
    ) -> AsyncIterator[shipment_pb2.WatchShipmentResponse]:
        """Stream the events of a shipment."""
        async with aclosing(self._shipments.watch(request.shipment_id, request.after_sequence)) as events:
            async for event in events:
                yield watch_response(shipment_pb2.WatchShipmentResponse, event)
