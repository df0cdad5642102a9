"""REST routes of transcripts, and of the prompts that they begin with."""

from __future__ import annotations

from typing import Annotated

from drillyard.test_runner.v1 import transcript_pb2
from fastapi import APIRouter, Query
from pydantic import Field

from ui.shared.documents import Body, ClientsOf, Document, Page, document, message_of
from ui.shared.schemas import shows

router = APIRouter(tags=["transcripts"])
# The first preview of a model may wait for a process that loads its tokenizer.
_RENDER_SECONDS = 90.0


class CallBody(Body):
    """A native function call of an answer."""

    tool_call_id: str = ""
    name: str
    arguments: str = Field(default="", description="As the model wrote them.")


class MessageBody(Body):
    """One turn of a conversation."""

    role: str = Field(examples=["user"])
    content: str = Field(default="", examples=["Which files are there?"])
    tool_calls: list[CallBody] = Field(default=[])
    tool_call_id: str = Field(default="", description="The call that a message of the role `tool` answers.")


class PromptBody(Body):
    """A conversation, or a case of a suite."""

    model_version_id: str = Field(examples=["smollm2-135m-instruct@1"])
    messages: list[MessageBody] = Field(default=[], description="Empty with a case.")
    tools: list[str] = Field(default=[], description="Function definitions in OpenAI's form, each as JSON text.")
    test_suite_version_id: str = Field(default="", description="The suite version of the case.")
    case_id: str = ""
    prompt_size: str = Field(default="", description='"compact" or "full"; empty means "compact".')


@router.get("/transcripts", responses=shows(transcript_pb2.ListTranscriptsResponse))
async def list_transcripts(
    clients: ClientsOf,
    page: Page,
    test_run_id: Annotated[str, Query(description="The run.")],
    after_sequence: Annotated[int, Query(ge=0, le=2**63 - 1, description="Only those that came after this one.")] = 0,
) -> Document:
    """List the transcripts of a run in the order of completion."""
    request = transcript_pb2.ListTranscriptsRequest(test_run_id=test_run_id, after_sequence=after_sequence, **page)
    return document(await clients.test_runner.ListTranscripts(request))


@router.get("/transcripts/{transcript_id:path}", responses=shows(transcript_pb2.GetTranscriptResponse))
async def get_transcript(clients: ClientsOf, transcript_id: str) -> Document:
    """Return one transcript with what is known of each answer."""
    request = transcript_pb2.GetTranscriptRequest(transcript_id=transcript_id)
    return document(await clients.test_runner.GetTranscript(request))


@router.post("/prompts/render", responses=shows(transcript_pb2.RenderPromptResponse))
async def render_prompt(clients: ClientsOf, body: PromptBody) -> Document:
    """Return the exact text and token ids that a model reads."""
    request = message_of(transcript_pb2.RenderPromptRequest, body.model_dump())
    return document(await clients.test_runner.RenderPrompt(request, timeout=_RENDER_SECONDS))
