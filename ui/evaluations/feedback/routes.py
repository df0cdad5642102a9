"""REST routes of feedback items, and of datasets that are built from them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any

from drillyard.feedback.v1 import feedback_file_pb2 as pb
from fastapi import Body, Depends, Query
from fastapi.responses import StreamingResponse

from ui.gateway.uploads import Uploads, uploads_of
from ui.shared.documents import ClientsOf, Document, document, message_of
from ui.shared.rpc import RpcRouter
from ui.shared.schemas import shows

router = RpcRouter(tags=["feedback"])
router.rpc(
    "POST /feedback",
    "feedback.CreateFeedbackItem",
    "Store what a person says of an answer: one of rating, correction, preference, tag and note. A correction and the "
    "better answer of a preference come back with the judge's verdict.",
)
router.rpc("GET /feedback", "feedback.ListFeedbackItems", "List feedback items, newest first.")
router.rpc(
    "GET /feedback/agreement",
    "feedback.MeasureAgreement",
    "Say how far people and the judge agree: Cohen's kappa with its 95 % interval.",
)


@router.post("/feedback-imports", responses=shows(pb.CreateFeedbackImportResponse))
async def import_feedback(
    clients: ClientsOf,
    uploads: Annotated[Uploads, Depends(uploads_of)],
    content: Annotated[bytes, Body(media_type="application/jsonl", description="JSONL, one item a line.")],
    request_id: Annotated[str, Query(max_length=200)] = "",
) -> Document:
    """Start to store all items of a file, or none: as they were exported, or bodies of `POST /feedback`."""
    request = pb.CreateFeedbackImportRequest(request_id=request_id, artifact=await uploads.keep(content))
    return document(await clients.feedback.CreateFeedbackImport(request))


router.rpc("GET /feedback-imports", "feedback.ListFeedbackImports", "List imports of feedback, newest first.")
router.rpc(
    "GET /feedback-imports/{feedback_import_id}",
    "feedback.GetFeedbackImport",
    "Return one import of feedback: how far it is, how many items are new, or which line is wrong.",
)
router.events(
    "/feedback-imports/{feedback_import_id}/events",
    "feedback.WatchFeedbackImport",
    "feedback.GetFeedbackImport",
    "Stream the events of an import of feedback.",
)


@dataclass(frozen=True)
class ExportFilters:
    """Which items an export has; what is empty lets all through."""

    kind: Annotated[str, Query(description="Such as FEEDBACK_KIND_RATING.")] = "FEEDBACK_KIND_UNSPECIFIED"
    profile_id: str = ""
    model_version_id: str = ""
    test_suite_version_id: str = ""
    tool: str = ""
    tag: str = ""
    author: str = ""
    withdrawn_too: bool = False


@router.get("/feedback/export", response_class=StreamingResponse)
async def export_feedback(clients: ClientsOf, filters: Annotated[ExportFilters, Depends()]) -> StreamingResponse:
    """Stream feedback items as JSONL, oldest first."""
    stream: Any = clients.feedback.ExportFeedbackItems(message_of(pb.ExportFeedbackItemsRequest, vars(filters)))
    headers = {"Content-Disposition": 'attachment; filename="feedback.jsonl"'}
    return StreamingResponse(_chunks(stream), media_type="application/jsonl", headers=headers)


router.rpc("GET /feedback/{feedback_item_id}", "feedback.GetFeedbackItem", "Return one feedback item.")
router.rpc(
    "POST /feedback/{feedback_item_id}/withdraw",
    "feedback.WithdrawFeedbackItem",
    "Withdraw a feedback item: datasets that are built from then on do not have it.",
)
router.rpc(
    "POST /dataset-builds",
    "feedback.CreateDatasetBuild",
    "Build a dataset from feedback items: right answers, or pairs of a better and a worse answer.",
)
router.rpc("GET /dataset-builds", "feedback.ListDatasetBuilds", "List dataset builds, newest first.")
router.rpc(
    "GET /dataset-builds/{dataset_build_id}",
    "feedback.GetDatasetBuild",
    "Return one dataset build: rows by reason, and why the other items have none.",
)
router.rpc(
    "POST /dataset-builds/{dataset_build_id}/cancel",
    "feedback.CancelDatasetBuild",
    "Cancel a dataset build; nothing of it becomes visible.",
)
router.events(
    "/dataset-builds/{dataset_build_id}/events",
    "feedback.WatchDatasetBuild",
    "feedback.GetDatasetBuild",
    "Stream the events of a dataset build.",
)


async def _chunks(stream: Any) -> AsyncIterator[bytes]:
    async with aclosing(aiter(stream)) as responses:
        async for response in responses:
            yield response.chunk


router.rpc("GET /sessions", "feedback.ListChatSessions", "List the recorded sessions of clients by name.")
router.rpc(
    "GET /sessions/{session_id}/answers",
    "feedback.ListRecordedAnswers",
    "List the answers of a session in their order; secrets and home folders are masked.",
)
router.rpc(
    "POST /sessions/{session_id}/keep",
    "feedback.KeepChatSession",
    "Keep a session, so that its answers can be rated, corrected and learnt from.",
)
router.rpc(
    "DELETE /sessions/{session_id}",
    "feedback.ForgetChatSession",
    "Delete what is recorded of a session; feedback on its answers stays.",
)
router.rpc(
    "POST /sessions/{session_id}/suites",
    "feedback.CreateSessionSuite",
    "Make private suites of chosen answers of a kept session, with the right answers; secrets stay masked.",
)
