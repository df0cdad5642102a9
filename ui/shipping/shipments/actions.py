"""Reading shipments."""

from __future__ import annotations

from drillyard.feedback.v1 import shipment_pb2

from ui.gateway.clients import Clients
from ui.shipping.shipments.views import ShipmentView, shipment_view

NUM_RECENT = 20


async def read_shipment(clients: Clients, shipment_id: str) -> ShipmentView:
    """Return a shipment.

    Raises:
        NotFound: There is no such shipment.
    """
    request = shipment_pb2.GetShipmentRequest(shipment_id=shipment_id)
    return shipment_view((await clients.feedback.GetShipment(request)).shipment)


async def recent_shipments(clients: Clients) -> list[ShipmentView]:
    """Return the newest shipments."""
    listed = await clients.feedback.ListShipments(shipment_pb2.ListShipmentsRequest(page_size=NUM_RECENT))
    return [shipment_view(shipment) for shipment in listed.shipments]
