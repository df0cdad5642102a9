"""REST routes of evaluations, their verdicts and exports, and of answers that are judged directly."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query
from fastapi.responses import StreamingResponse

from ui.evaluations.actions import judge_batch
from ui.evaluations.exports import EXPORT_FORMATS, export_evaluation
from ui.shared.dependants import deleting
from ui.shared.documents import ClientsOf
from ui.shared.rpc import RpcRouter

# Those of `EXPORT_FORMATS`.
_FILE_TYPES = ("application/json", "application/jsonl", "text/csv", "text/html")
_FILE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file, with its name.", "content": {name: {} for name in _FILE_TYPES}},
}
router = RpcRouter(tags=["evaluations"])
router.rpc(
    "POST /evaluations",
    "evaluator.CreateEvaluation",
    "Start an evaluation; it follows a run that is still going.",
)
router.rpc("GET /evaluations", "evaluator.ListEvaluations", "List evaluations, newest first.")
router.rpc(
    "GET /evaluations/{evaluation_id}",
    "evaluator.GetEvaluation",
    "Return one evaluation with its metrics and their 95 % intervals.",
)
router.rpc(
    "DELETE /evaluations/{evaluation_id}",
    "evaluator.DeleteEvaluation",
    "Delete an evaluation that has ended, with its verdicts; refused while a loop refers to it.",
    action=deleting(lambda clients: clients.evaluator.DeleteEvaluation),
)
router.rpc(
    "POST /evaluations/{evaluation_id}/cancel",
    "evaluator.CancelEvaluation",
    "Cancel an evaluation; its verdicts are kept.",
)
router.events(
    "/evaluations/{evaluation_id}/events",
    "evaluator.WatchEvaluation",
    "evaluator.GetEvaluation",
    "Stream the events of an evaluation, live counts among them.",
)
router.rpc(
    "GET /verdicts",
    "evaluator.ListVerdicts",
    "List verdicts in the order of judging; `total_size` counts those on all pages.",
)
router.rpc("POST /verdicts/judge", "evaluator.Judge", "Judge one answer without storing anything.")
router.rpc(
    "POST /verdicts/judge-batch",
    "evaluator.JudgeBatch",
    "Judge many answers without storing anything; a bad one does not spoil the others.",
    action=lambda clients, request: judge_batch(clients, request.requests),
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
    export = await export_evaluation(clients, evaluation_id, export_format, before_evaluation_id)
    headers = {"content-disposition": f'attachment; filename="{export.file_name}"'}
    return StreamingResponse(export.chunks, media_type=export.media_type, headers=headers)
