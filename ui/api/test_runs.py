"""REST routes of test runs and transcripts."""

from __future__ import annotations

from typing import Annotated

from drillyard.test_runner.v1 import test_run_pb2, transcript_pb2
from fastapi import APIRouter, Depends, Query
from pydantic import Field
from sse_starlette import EventSourceResponse

from ui.actions.test_runs import start_test_run
from ui.api.documents import Body, ClientsOf, CreateBody, Document, Page, document, message_of
from ui.api.events import EVENT_STREAM, AfterSequence, EventStreams, LastEventId, start_after, streams_of
from ui.api.schemas import shows

router = APIRouter(tags=["test runs"])


class SamplingBody(Body):
    """How tokens are chosen; all zero means greedy."""

    temperature: float = 0
    top_p: float = 0
    top_k: int = 0
    max_new_tokens: int = Field(default=0, description="Longest answer in tokens; 0 means 192.")


class TestRunBody(CreateBody):
    """What to run."""

    model_version_id: str = Field(examples=["smollm2-135m-instruct@1"])
    test_suite_version_id: str = Field(examples=["roo_xml/core@1"])
    prompt_size: str = Field(default="", description='"compact" or "full"; empty means "compact".')
    sampling: SamplingBody = Field(default_factory=SamplingBody)
    num_repeats: int = Field(default=0, description="Answers per case; 0 means 1.")
    seed: int = 0
    dtype: str = Field(default="", description='"bfloat16", "float32" or empty for what is fastest here.')


@router.post("/test-runs", responses=shows(test_run_pb2.CreateTestRunResponse))
async def create_test_run(
    clients: ClientsOf,
    body: TestRunBody,
    evaluate: Annotated[bool, Query(description="Also start the evaluation that follows the run.")] = True,
) -> Document:
    """Start a test run, and the evaluation that follows it: the answer has `test_run` and `evaluation`."""
    given = body.model_dump()
    request_id = given.pop("request_id")
    request = message_of(test_run_pb2.CreateTestRunRequest, {"request_id": request_id, "spec": given})
    started = await start_test_run(clients, request, evaluate=evaluate)
    answer = {"test_run": document(started.test_run)}
    return answer | ({"evaluation": document(started.evaluation)} if started.evaluation else {})


@router.get("/test-runs", responses=shows(test_run_pb2.ListTestRunsResponse))
async def list_test_runs(clients: ClientsOf, page: Page) -> Document:
    """List test runs, newest first."""
    return document(await clients.test_runner.ListTestRuns(test_run_pb2.ListTestRunsRequest(**page)))


@router.get("/test-runs/{test_run_id}", responses=shows(test_run_pb2.GetTestRunResponse))
async def get_test_run(clients: ClientsOf, test_run_id: str) -> Document:
    """Return one test run."""
    return document(await clients.test_runner.GetTestRun(test_run_pb2.GetTestRunRequest(test_run_id=test_run_id)))


@router.post("/test-runs/{test_run_id}/cancel", responses=shows(test_run_pb2.CancelTestRunResponse))
async def cancel_test_run(clients: ClientsOf, test_run_id: str) -> Document:
    """Cancel a test run; its transcripts are kept."""
    request = test_run_pb2.CancelTestRunRequest(test_run_id=test_run_id)
    return document(await clients.test_runner.CancelTestRun(request))


@router.get("/test-runs/{test_run_id}/events", response_class=EventSourceResponse, responses=EVENT_STREAM)
async def watch_test_run(
    clients: ClientsOf,
    streams: Annotated[EventStreams, Depends(streams_of)],
    test_run_id: str,
    after_sequence: AfterSequence = 0,
    last_event_id: LastEventId = "",
) -> EventSourceResponse:
    """Stream the events of a test run."""
    await clients.test_runner.GetTestRun(test_run_pb2.GetTestRunRequest(test_run_id=test_run_id))
    return streams.respond(
        lambda after: clients.test_runner.WatchTestRun(
            test_run_pb2.WatchTestRunRequest(test_run_id=test_run_id, after_sequence=after)
        ),
        start_after(after_sequence, last_event_id),
    )


@router.get("/transcripts", responses=shows(transcript_pb2.ListTranscriptsResponse))
async def list_transcripts(
    clients: ClientsOf, page: Page, test_run_id: Annotated[str, Query(description="The run.")]
) -> Document:
    """List the transcripts of a run in the order of completion."""
    request = transcript_pb2.ListTranscriptsRequest(test_run_id=test_run_id, **page)
    return document(await clients.test_runner.ListTranscripts(request))


@router.get("/transcripts/{transcript_id:path}", responses=shows(transcript_pb2.GetTranscriptResponse))
async def get_transcript(clients: ClientsOf, transcript_id: str) -> Document:
    """Return one transcript."""
    request = transcript_pb2.GetTranscriptRequest(transcript_id=transcript_id)
    return document(await clients.test_runner.GetTranscript(request))
