"""REST routes of shipments."""

from __future__ import annotations

from ui.shared.rpc import RpcRouter

router = RpcRouter(tags=["shipments"])
router.rpc(
    "POST /shipments", "feedback.CreateShipment", "Export a version, prove that the form does the same, and publish it."
)
router.rpc("GET /shipments", "feedback.ListShipments", "List shipments, newest first.")
router.rpc(
    "GET /shipments/{shipment_id}", "feedback.GetShipment", "Return one shipment with what each step of its gate found."
)
router.rpc(
    "POST /shipments/{shipment_id}/cancel",
    "feedback.CancelShipment",
    "Cancel a shipment and the job that it waits for; what is published stays.",
)
router.events(
    "/shipments/{shipment_id}/events",
    "feedback.WatchShipment",
    "feedback.GetShipment",
    "Stream the events of a shipment.",
)
