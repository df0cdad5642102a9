"""REST routes of test runs."""

from __future__ import annotations

from typing import Annotated

from drillyard.test_runner.v1 import test_run_pb2
from fastapi import APIRouter, Depends, Query
from pydantic import Field
from sse_starlette import EventSourceResponse

from ui.shared.documents import Body, ClientsOf, CreateBody, Document, Page, document, message_of
from ui.shared.events import EVENT_STREAM, AfterSequence, EventStreams, LastEventId, start_after, streams_of
from ui.shared.schemas import shows
from ui.test_runs.actions import start_test_run

router = APIRouter(tags=["test runs"])


class SamplingBody(Body):
    """How tokens are chosen; all zero means greedy."""

    temperature: float = 0
    top_p: float = 0
    top_k: int = 0
    max_new_tokens: int = Field(default=0, description="Longest answer in tokens; 0 means 192.")
    min_p: float = Field(default=0, description="Least probability, as a share of the likeliest token's.")


class EndpointBody(Body):
    """A served model: any server that speaks OpenAI's chat completions."""

    base_url: str = Field(examples=["http://127.0.0.1:8080/v1"])
    model: str = Field(default="", description="Name of the model at the endpoint.")
    api_key_secret: str = Field(default="", description="Name of the secret that holds the key; empty for none.")
    tool_mode: str = Field(default="TOOL_MODE_UNSPECIFIED", description="Empty mode: as the profile asks.")
    num_ctx: int = Field(default=0, description="Tokens of context; 0 for the server's own.")
    stop: list[str] = Field(default=[], description="Texts at which an answer ends.")
    extra_body: str = Field(default="", description="A JSON object that is merged into each request's body.")
    max_concurrency: int = Field(default=0, description="Requests in flight at once; 0 means 4.")


class TestRunBody(CreateBody):
    """What to run; with `repeat_of_test_run_id` alone, what that run did."""

    model_version_id: str = Field(
        default="", description="May be empty with an endpoint.", examples=["smollm2-135m-instruct@1"]
    )
    test_suite_version_id: str = Field(default="", examples=["roo_xml/core@1"])
    prompt_size: str = Field(default="", description='"compact" or "full"; empty means "compact".')
    sampling: SamplingBody = Field(default_factory=SamplingBody)
    num_repeats: int = Field(default=0, description="Answers per case; 0 means 1.")
    seed: int = 0
    dtype: str = Field(default="", description='"bfloat16", "float32" or empty for what is fastest here.')
    endpoint: EndpointBody | None = Field(default=None, description="Answers instead of the registry's weights.")
    throughput: bool = Field(default=False, description="Lifts the fixed batch plan for speed.")
    log_probs: bool = Field(default=False, description="Keeps the log-probability of each token.")
    case_timeout_seconds: float = Field(default=0, description="Most time for one case; 0 means 600.")
    run_timeout_seconds: float = Field(default=0, description="Most time for the run; 0 for no limit.")
    repeat_of_test_run_id: str = Field(default="", description="The run that this one repeats.")


@router.post("/test-runs", responses=shows(test_run_pb2.CreateTestRunResponse))
async def create_test_run(
    clients: ClientsOf,
    body: TestRunBody,
    evaluate: Annotated[bool, Query(description="Also start the evaluation that follows the run.")] = True,
) -> Document:
    """Start a test run, and the evaluation that follows it: the answer has `test_run` and `evaluation`."""
    given = body.model_dump(exclude_none=True)
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


@router.post("/test-runs/{test_run_id}/pause", responses=shows(test_run_pb2.PauseTestRunResponse))
async def pause_test_run(clients: ClientsOf, test_run_id: str) -> Document:
    """Pause a test run after the cases that it is at."""
    request = test_run_pb2.PauseTestRunRequest(test_run_id=test_run_id)
    return document(await clients.test_runner.PauseTestRun(request))


@router.post("/test-runs/{test_run_id}/resume", responses=shows(test_run_pb2.ResumeTestRunResponse))
async def resume_test_run(clients: ClientsOf, test_run_id: str) -> Document:
    """Resume a paused test run."""
    request = test_run_pb2.ResumeTestRunRequest(test_run_id=test_run_id)
    return document(await clients.test_runner.ResumeTestRun(request))


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
