"""REST routes of improvement loops and their reports."""

from __future__ import annotations

from dataclasses import asdict

from fastapi.responses import StreamingResponse

from ui.loops.actions import loop_progress
from ui.loops.reports import gather_report, report_page
from ui.shared.documents import ClientsOf, Document
from ui.shared.rpc import RpcRouter

router = RpcRouter(tags=["loops"])
router.rpc("POST /loops", "feedback.CreateLoop", "Start an improvement loop.")
router.rpc(
    "POST /loops:plan",
    "feedback.PlanLoop",
    "Say what a loop would do, by the rules that would decide; starts nothing.",
    timeout=140.0,
)
router.rpc("GET /loops", "feedback.ListLoops", "List loops, newest first.")
router.rpc("GET /loops/{loop_id}", "feedback.GetLoop", "Return one loop with its rounds.")
router.rpc(
    "DELETE /loops/{loop_id}",
    "feedback.DeleteLoop",
    "Delete a loop that has ended; what it made stays, and may then be deleted too.",
)
router.rpc(
    "POST /loops/{loop_id}/cancel",
    "feedback.CancelLoop",
    "Cancel a loop and the job that it waits for; what is registered is kept.",
)
router.rpc(
    "POST /loops/{loop_id}/decision",
    "feedback.DecideLoop",
    "Approve the decision that a loop waits with, or change it; the loop goes on within seconds.",
)
router.events("/loops/{loop_id}/events", "feedback.WatchLoop", "feedback.GetLoop", "Stream the events of a loop.")


@router.get("/loops/{loop_id}/progress")
async def get_loop_progress(clients: ClientsOf, loop_id: str) -> Document:
    """Return how far each step of a loop has come, the job that it waits for included."""
    return asdict(await loop_progress(clients, loop_id))


@router.get("/loops/{loop_id}/report")
async def get_report(clients: ClientsOf, loop_id: str) -> Document:
    """Return the before/after report of a loop that has tested at least once."""
    return await gather_report(clients, loop_id)


@router.get("/loops/{loop_id}/report.html", response_class=StreamingResponse)
async def get_report_page(clients: ClientsOf, loop_id: str) -> StreamingResponse:
    """Stream the report as one self-contained page."""
    export = await report_page(clients, loop_id)
    return StreamingResponse(export.chunks, media_type=export.media_type)
