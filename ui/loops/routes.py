"""REST routes of improvement loops and their reports."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from drillyard.feedback.v1 import loop_pb2
from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse
from pydantic import Field
from sse_starlette import EventSourceResponse

from ui.loops.actions import loop_progress
from ui.loops.reports import gather_report, report_page
from ui.shared.documents import Body, ClientsOf, CreateBody, Document, Page, document, message_of
from ui.shared.events import EVENT_STREAM, AfterSequence, EventStreams, LastEventId, start_after, streams_of
from ui.shared.schemas import shows
from ui.training_jobs.routes import TrainingSettings

router = APIRouter(tags=["loops"])


class GoalBody(Body):
    """A bound that a rate of the suite must reach."""

    metric: str = Field(default="conforming_rate", examples=["conforming_rate"])
    minimum: float = Field(description="Smallest rate that meets the goal, 0 to 1.", examples=[0.8])


class BudgetBody(Body):
    """When to give up."""

    max_rounds: int = Field(default=1, description="Most rounds of training.")
    max_minutes: float = Field(default=0, description="Most minutes in all; 0 means no bound.")


class LoopBody(CreateBody):
    """What to improve, and until when."""

    model_version_id: str = Field(examples=["smollm2-135m-instruct@1"])
    test_suite_version_id: str = Field(examples=["roo_xml/core@1"])
    prompt_size: str = Field(default="", description='A size that the suite\'s profile has; empty means "compact".')
    goals: list[GoalBody] = Field(default_factory=lambda: [GoalBody(minimum=0.8)])
    budget: BudgetBody = Field(default_factory=BudgetBody)
    seed: int = 0
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    num_examples: int = Field(default=0, description="Train examples per round (400).")
    num_probe_cases: int = Field(default=0, description="Cases of the probe, at most 48 (39).")
    max_new_tokens: int = Field(default=0, description="Longest answer in tokens (192).")


@router.post("/loops", responses=shows(loop_pb2.CreateLoopResponse))
async def create_loop(clients: ClientsOf, body: LoopBody) -> Document:
    """Start an improvement loop."""
    given = body.model_dump()
    request_id = given.pop("request_id")
    request = message_of(loop_pb2.CreateLoopRequest, {"request_id": request_id, "spec": given})
    return document(await clients.feedback.CreateLoop(request))


@router.get("/loops", responses=shows(loop_pb2.ListLoopsResponse))
async def list_loops(clients: ClientsOf, page: Page) -> Document:
    """List loops, newest first."""
    return document(await clients.feedback.ListLoops(loop_pb2.ListLoopsRequest(**page)))


@router.get("/loops/{loop_id}", responses=shows(loop_pb2.GetLoopResponse))
async def get_loop(clients: ClientsOf, loop_id: str) -> Document:
    """Return one loop with its rounds."""
    return document(await clients.feedback.GetLoop(loop_pb2.GetLoopRequest(loop_id=loop_id)))


@router.get("/loops/{loop_id}/progress")
async def get_loop_progress(clients: ClientsOf, loop_id: str) -> Document:
    """Return how far each step of a loop has come, the job that it waits for included."""
    return asdict(await loop_progress(clients, loop_id))


@router.post("/loops/{loop_id}/cancel", responses=shows(loop_pb2.CancelLoopResponse))
async def cancel_loop(clients: ClientsOf, loop_id: str) -> Document:
    """Cancel a loop and the job that it waits for; what is registered is kept."""
    return document(await clients.feedback.CancelLoop(loop_pb2.CancelLoopRequest(loop_id=loop_id)))


@router.get("/loops/{loop_id}/events", response_class=EventSourceResponse, responses=EVENT_STREAM)
async def watch_loop(
    clients: ClientsOf,
    streams: Annotated[EventStreams, Depends(streams_of)],
    loop_id: str,
    after_sequence: AfterSequence = 0,
    last_event_id: LastEventId = "",
) -> EventSourceResponse:
    """Stream the events of a loop."""
    await clients.feedback.GetLoop(loop_pb2.GetLoopRequest(loop_id=loop_id))
    return streams.respond(
        lambda after: clients.feedback.WatchLoop(loop_pb2.WatchLoopRequest(loop_id=loop_id, after_sequence=after)),
        start_after(after_sequence, last_event_id),
    )


@router.get("/loops/{loop_id}/report")
async def get_report(clients: ClientsOf, loop_id: str) -> Document:
    """Return the before/after report of a loop that has tested at least once."""
    return asdict(await gather_report(clients, loop_id))


@router.get("/loops/{loop_id}/report.html", response_class=StreamingResponse)
async def get_report_page(clients: ClientsOf, loop_id: str) -> StreamingResponse:
    """Stream the report as one self-contained page."""
    found = await report_page(clients, loop_id)
    return StreamingResponse(found.chunks, media_type=found.media_type)
