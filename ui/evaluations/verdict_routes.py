"""REST routes of verdicts: those of an evaluation, and of answers that are judged directly."""

from __future__ import annotations

from typing import Annotated

from drillyard.evaluator.v1 import verdict_pb2
from fastapi import APIRouter, Depends, Query
from pydantic import Field

from ui.evaluations import actions as judgements
from ui.shared.documents import Body, ClientsOf, Document, Page, document, message_of
from ui.shared.schemas import shows

router = APIRouter(tags=["evaluations"])


class JudgeBody(Body):
    """One answer to judge; nothing is stored."""

    profile_id: str = Field(examples=["roo_xml"])
    case_document: str = Field(description="The case as JSON text.")
    answer: str
    finish_reason: str = Field(default="", description='"stop" or "length"; empty means "stop".')
    further_answers: list[str] = Field(
        default=[], description="Of a case of several turns; the client's replies between them are simulated."
    )
    key: str = Field(default="", description="Returned with the verdict, to tell answers apart.")


class JudgeBatchBody(Body):
    """Answers to judge; nothing is stored."""

    requests: list[JudgeBody] = Field(max_length=1000, description="Up to 1000 answers.")


def _filters(
    tool: Annotated[str, Query(description="Only cases of this tool.")] = "",
    cause: Annotated[str, Query(description='Only this cause; "none" gives conforming ones.')] = "",
    category: Annotated[str, Query(description="Only cases of this kind of task.")] = "",
    layer: Annotated[str, Query(description="Only those whose first failing layer is this.")] = "",
    case_id: Annotated[str, Query(description="Only verdicts of this case.")] = "",
) -> Document:
    return {"tool": tool, "cause": cause, "category": category, "layer": layer, "case_id": case_id}


@router.get("/verdicts", responses=shows(verdict_pb2.ListVerdictsResponse))
async def list_verdicts(
    clients: ClientsOf,
    page: Page,
    filters: Annotated[Document, Depends(_filters)],
    evaluation_id: Annotated[str, Query(description="The evaluation.")],
) -> Document:
    """List verdicts in the order of judging; `total_size` counts those on all pages."""
    request = verdict_pb2.ListVerdictsRequest(evaluation_id=evaluation_id, **filters, **page)
    return document(await clients.evaluator.ListVerdicts(request))


@router.post("/verdicts/judge", responses=shows(verdict_pb2.JudgeResponse))
async def judge(clients: ClientsOf, body: JudgeBody) -> Document:
    """Judge one answer without storing anything."""
    return document(await clients.evaluator.Judge(message_of(verdict_pb2.JudgeRequest, body.model_dump())))


@router.post("/verdicts/judge-batch", responses=shows(verdict_pb2.JudgeBatchResponse))
async def judge_batch(clients: ClientsOf, body: JudgeBatchBody) -> Document:
    """Judge many answers without storing anything; a bad one does not spoil the others."""
    request = message_of(verdict_pb2.JudgeBatchRequest, body.model_dump())
    return document(await judgements.judge_batch(clients, request.requests))
