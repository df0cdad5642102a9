"""REST routes of evaluations and their exports."""

from __future__ import annotations

from typing import Annotated, Any

from drillyard.evaluator.v1 import evaluation_pb2
from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse
from pydantic import Field
from sse_starlette import EventSourceResponse

from ui.evaluations.exports import EXPORT_FORMATS, Export, export_evaluation
from ui.gateway.errors import Problem
from ui.shared.documents import Body, ClientsOf, CreateBody, Document, Page, document, message_of
from ui.shared.events import EVENT_STREAM, AfterSequence, EventStreams, LastEventId, start_after, streams_of
from ui.shared.schemas import shows

router = APIRouter(tags=["evaluations"])
_FILE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file, with its name.", "content": {"application/octet-stream": {}}},
    "default": {"description": "A problem document.", "model": Problem},
}


class GraderBody(Body):
    """A model, at any server that speaks OpenAI's chat completions, that says how good answers are."""

    base_url: str = Field(
        default="", description="Empty for a model of the registry.", examples=["http://127.0.0.1:8080/v1"]
    )
    model: str = Field(description="Name of the model at the endpoint, or a version.", examples=["qwen3-32b"])
    api_key_secret: str = Field(
        default="", description="Name of the test runner's secret that holds the key; empty for none."
    )
    rubric: str = Field(default="", description="What a good answer is, in plain words.")
    sample_rate: float = Field(default=0, description="Share of answers, 0 to 1, that are graded; 0 means all.")
    against_reference: bool = Field(
        default=False, description="Sets each answer beside the case's reference, twice with the places swapped."
    )


class EvaluationBody(CreateBody):
    """What to judge."""

    test_run_id: str = Field(description="The run; it may still be going.", examples=["test_run-1"])
    model_grader: GraderBody | None = Field(default=None, description="Adds a score by a model's opinion.")


@router.post("/evaluations", responses=shows(evaluation_pb2.CreateEvaluationResponse))
async def create_evaluation(clients: ClientsOf, body: EvaluationBody) -> Document:
    """Start an evaluation; it follows a run that is still going."""
    request = message_of(evaluation_pb2.CreateEvaluationRequest, body.model_dump(exclude_none=True))
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
    """Return one evaluation with its metrics and their 95 % intervals."""
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


@router.get("/evaluations/{evaluation_id}/export", response_class=StreamingResponse, responses=_FILE)
async def get_export(
    clients: ClientsOf,
    evaluation_id: str,
    export_format: Annotated[
        str, Query(alias="format", pattern=f"^({'|'.join(EXPORT_FORMATS)})$", description=", ".join(EXPORT_FORMATS))
    ] = "json",
    before_evaluation_id: Annotated[str, Query(description="An earlier one to set it against, in the page.")] = "",
) -> StreamingResponse:
    """Stream an evaluation as a file."""
    found: Export = await export_evaluation(clients, evaluation_id, export_format, before_evaluation_id)
    headers = {"content-disposition": f'attachment; filename="{found.file_name}"'}
    return StreamingResponse(found.chunks, media_type=found.media_type, headers=headers)
