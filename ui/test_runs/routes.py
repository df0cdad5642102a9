"""REST routes of test runs, their transcripts, and the prompts that these begin with."""

from __future__ import annotations

from typing import Annotated

from drillyard.test_runner.v1.test_run_pb2 import CreateTestRunRequest
from fastapi import Query

from ui.gateway.clients import Clients
from ui.shared.documents import Document, document
from ui.shared.rpc import RpcRouter
from ui.test_runs.actions import RENDER_SECONDS, delete_test_run, start_test_run

router = RpcRouter(tags=["test runs"])
transcripts = RpcRouter(tags=["transcripts"])


async def _start(
    clients: Clients,
    request: CreateTestRunRequest,
    evaluate: Annotated[bool, Query(description="Also start the evaluation that follows the run.")] = True,
) -> Document:
    started = await start_test_run(clients, request, evaluate=evaluate)
    evaluation = {"evaluation": document(started.evaluation)} if started.evaluation else {}
    return {"test_run": document(started.test_run), **evaluation}


router.rpc(
    "POST /test-runs",
    "test_runner.CreateTestRun",
    "Start a test run and, beside it in REST's answer, the evaluation that follows it.",
    action=_start,
)
router.rpc("GET /test-runs", "test_runner.ListTestRuns", "List test runs, newest first.")
router.rpc("GET /test-runs/{test_run_id}", "test_runner.GetTestRun", "Return one test run.")
router.rpc(
    "DELETE /test-runs/{test_run_id}",
    "test_runner.DeleteTestRun",
    "Delete a test run that has ended, with its transcripts and evaluations; refused while a loop refers to it.",
    action=delete_test_run,
)
router.rpc(
    "POST /test-runs/{test_run_id}/cancel", "test_runner.CancelTestRun", "Cancel a test run; its transcripts are kept."
)
router.rpc(
    "POST /test-runs/{test_run_id}/pause", "test_runner.PauseTestRun", "Pause a test run after the cases that it is at."
)
router.rpc("POST /test-runs/{test_run_id}/resume", "test_runner.ResumeTestRun", "Resume a paused test run.")
router.events(
    "/test-runs/{test_run_id}/events",
    "test_runner.WatchTestRun",
    "test_runner.GetTestRun",
    "Stream the events of a test run.",
)
transcripts.rpc(
    "GET /transcripts", "test_runner.ListTranscripts", "List the transcripts of a run in the order of completion."
)
transcripts.rpc(
    "GET /transcripts/{transcript_id:path}",
    "test_runner.GetTranscript",
    "Return one transcript with what is known of each answer.",
)
transcripts.rpc(
    "POST /prompts/render",
    "test_runner.RenderPrompt",
    "Return the exact text and token ids that a model reads.",
    timeout=RENDER_SECONDS,
)
