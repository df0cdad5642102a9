"""REST routes of evaluations, verdicts and comparisons."""

from __future__ import annotations

from typing import Annotated

from drillyard.evaluator.v1 import comparison_pb2, evaluation_pb2, verdict_pb2
from fastapi import APIRouter, Depends, Query
from pydantic import Field
from sse_starlette import EventSourceResponse

from ui.api.documents import Body, ClientsOf, CreateBody, Document, Page, document, message_of
from ui.api.events import EVENT_STREAM, AfterSequence, EventStreams, LastEventId, start_after, streams_of
from ui.api.schemas import shows

router = APIRouter(tags=["evaluations"])


class EvaluationBody(CreateBody):
    """What to judge."""

    test_run_id: str = Field(description="The run; it may still be going.", examples=["test_run-1"])


class JudgeBody(Body):
    """One answer to judge; nothing is stored."""

    profile_id: str = Field(examples=["roo_xml"])
    case_document: str = Field(description="The case as JSON text.")
    answer: str
    finish_reason: str = Field(default="", description='"stop" or "length"; empty means "stop".')


@router.post("/evaluations", responses=shows(evaluation_pb2.CreateEvaluationResponse))
async def create_evaluation(clients: ClientsOf, body: EvaluationBody) -> Document:
    """Start an evaluation; it follows a run that is still going."""
    request = message_of(evaluation_pb2.CreateEvaluationRequest, body.model_dump())
    return document(await clients.evaluator.CreateEvaluation(request))


@router.get("/evaluations", responses=shows(evaluation_pb2.ListEvaluationsResponse))
async def list_evaluations(
    clients: ClientsOf, page: Page, test_run_id: Annotated[str, Query(description="Only those of this run.")] = ""
) -> Document:
    """List evaluations, newest first."""
    request = evaluation_pb2.ListEvaluationsRequest(test_run_id=test_run_id, **page)
    return document(await clients.evaluator.ListEvaluations(request))


@router.get("/evaluations/{evaluation_id}", responses=shows(evaluation_pb2.GetEvaluationResponse))
async def get_evaluation(clients: ClientsOf, evaluation_id: str) -> Document:
    """Return one evaluation with its metrics."""
    request = evaluation_pb2.GetEvaluationRequest(evaluation_id=evaluation_id)
    return document(await clients.evaluator.GetEvaluation(request))


@router.post("/evaluations/{evaluation_id}/cancel", responses=shows(evaluation_pb2.CancelEvaluationResponse))
async def cancel_evaluation(clients: ClientsOf, evaluation_id: str) -> Document:
    """Cancel an evaluation; its verdicts are kept."""
    request = evaluation_pb2.CancelEvaluationRequest(evaluation_id=evaluation_id)
    return document(await clients.evaluator.CancelEvaluation(request))


@router.get("/evaluations/{evaluation_id}/events", response_class=EventSourceResponse, responses=EVENT_STREAM)
async def watch_evaluation(
    clients: ClientsOf,
    streams: Annotated[EventStreams, Depends(streams_of)],
    evaluation_id: str,
    after_sequence: AfterSequence = 0,
    last_event_id: LastEventId = "",
) -> EventSourceResponse:
    """Stream the events of an evaluation, live counts among them."""
    await clients.evaluator.GetEvaluation(evaluation_pb2.GetEvaluationRequest(evaluation_id=evaluation_id))
    return streams.respond(
        lambda after: clients.evaluator.WatchEvaluation(
            evaluation_pb2.WatchEvaluationRequest(evaluation_id=evaluation_id, after_sequence=after)
        ),
        start_after(after_sequence, last_event_id),
    )


@router.get("/verdicts", responses=shows(verdict_pb2.ListVerdictsResponse))
async def list_verdicts(
    clients: ClientsOf,
    page: Page,
    evaluation_id: Annotated[str, Query(description="The evaluation.")],
    tool: Annotated[str, Query(description="Only cases of this tool.")] = "",
    cause: Annotated[str, Query(description='Only this cause; "none" gives conforming ones.')] = "",
) -> Document:
    """List verdicts in the order of judging."""
    request = verdict_pb2.ListVerdictsRequest(evaluation_id=evaluation_id, tool=tool, cause=cause, **page)
    return document(await clients.evaluator.ListVerdicts(request))


@router.post("/verdicts/judge", responses=shows(verdict_pb2.JudgeResponse))
async def judge(clients: ClientsOf, body: JudgeBody) -> Document:
    """Judge one answer without storing anything."""
    return document(await clients.evaluator.Judge(message_of(verdict_pb2.JudgeRequest, body.model_dump())))


@router.get("/comparisons", responses=shows(comparison_pb2.CompareEvaluationsResponse))
async def compare_evaluations(
    clients: ClientsOf,
    before_evaluation_id: Annotated[str, Query(description="The earlier evaluation.")],
    after_evaluation_id: Annotated[str, Query(description="The later one, of the same suite version and sampling.")],
) -> Document:
    """Compare two finished evaluations."""
    request = comparison_pb2.CompareEvaluationsRequest(
        before_evaluation_id=before_evaluation_id, after_evaluation_id=after_evaluation_id
    )
    return document(await clients.evaluator.CompareEvaluations(request))
