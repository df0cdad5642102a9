"""`POST /v1/chat/completions`: a conversation answered by a model of the registry."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from drillyard.test_runner.v1.transcript_pb2 import GenerateRequest, GenerateResponse, Message, TokenLogProb, ToolCall
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from ui.openai.errors import ERROR_RESPONSES, OpenAIRoute
from ui.openai.feedback import Recorder, answer_message, session_of
from ui.openai.generation import (
    Generation,
    Whole,
    answers,
    call_documents,
    caller_of,
    choices_of,
    finish_reason_of,
    sampling_of,
    seed_of,
    unless_gone,
    usage_of,
    whole_of,
)
from ui.openai.held import schema_of
from ui.openai.log_probs import chat_log_probs
from ui.openai.models import default_answer_tokens
from ui.openai.schemas import ChatBody, MessageBody, plain
from ui.openai.served import ServedModelsOf, Target
from ui.openai.shadowing.shadows import shadows_of
from ui.openai.streaming import STREAMED, Envelope, event_stream
from ui.shared.documents import ClientsOf

router = APIRouter(tags=["OpenAI"], route_class=OpenAIRoute, responses=ERROR_RESPONSES)


@router.post("/chat/completions", responses=STREAMED)
async def create_chat_completion(
    request: Request, clients: ClientsOf, served: ServedModelsOf, body: ChatBody
) -> Response:
    """Answer a conversation; with `stream` as server-sent events."""
    target = await served.target(body.model)
    generate_request, caller = request_of(body, target), caller_of(request)
    version_id = target.version.model_version_id
    recorder = Recorder(clients, body, generate_request, session_of(request))
    on_end = shadows_of(request).after(clients, target, generate_request)
    first, *others = choices_of(recorder.asked(), body.n)
    if body.stream:
        generation = await unless_gone(request, Generation.begin(clients, first, caller, on_end))
        following = (Generation.begin(clients, other, caller) for other in others)
        return event_stream(_Stream(body, version_id, recorder).pieces(generation, following))
    wholes = await unless_gone(request, answers(clients, [first, *others], caller, on_end))
    envelope = Envelope("chat.completion", version_id, "chatcmpl")
    # A recorded conversation goes on from the first.
    await recorder.keep(envelope.id, version_id, *answered(body, wholes[0]))
    choices = [_choice(body, index, whole) for index, whole in enumerate(wholes)]
    return JSONResponse(envelope.document(choices, usage=usage_of([whole.last for whole in wholes], body.n)))


def request_of(body: ChatBody, target: Target) -> GenerateRequest:
    """Return what is asked of the test runner."""
    longest = body.max_completion_tokens or body.max_tokens or default_answer_tokens(target.version)
    request = GenerateRequest(
        messages=[_message(message) for message in body.messages],
        tools=[json.dumps(plain(tool)) for tool in body.offered],
        sampling=sampling_of(body, longest),
        stop=body.stops,
        seed=seed_of(body),
        json_schema=schema_of(body),
        log_probs=bool(body.logprobs),
        num_top_log_probs=body.top_logprobs or 0,
        read_calls=True,
    )
    return target.ask(request)


def _message(message: MessageBody) -> Message:
    calls = [
        ToolCall(tool_call_id=call.id, name=call.function.name, arguments=call.function.arguments)
        for call in message.tool_calls or []
    ]
    role = "system" if message.role == "developer" else message.role
    return Message(role=role, content=message.text, tool_calls=calls, tool_call_id=message.tool_call_id)


def _choice(body: ChatBody, index: int, whole: Whole) -> dict[str, Any]:
    calls = called(body, whole.tool_calls)
    return {
        "index": index,
        "message": {**replace(whole, tool_calls=calls).to_chat(), "refusal": None},
        "logprobs": chat_log_probs(whole.log_probs) if body.logprobs else None,
        "finish_reason": "tool_calls" if calls else finish_reason_of(whole.last),
    }


def called(body: ChatBody, calls: Sequence[ToolCall]) -> tuple[ToolCall, ...]:
    """Return those calls of an answer that its caller gets."""
    return tuple(calls if body.parallel_tool_calls else calls[:1])


def answered(body: ChatBody, whole: Whole) -> tuple[Message, list[int]]:
    """Return what the caller gets, as a message, and its tokens; none where calls were left out of it."""
    calls = called(body, whole.tool_calls)
    is_whole = len(calls) == len(whole.tool_calls)
    return answer_message(whole.text, list(calls)), [entry.token_id for entry in whole.log_probs if is_whole]


class _Stream:
    def __init__(self, body: ChatBody, model: str, recorder: Recorder) -> None:
        self._body = body
        self._recorder = recorder
        self._envelope = Envelope("chat.completion.chunk", model, "chatcmpl")
        self._log_probs: list[TokenLogProb] = []
        self._lasts: list[GenerateResponse] = []

    async def pieces(
        self, first: Generation, following: Iterable[Awaitable[Generation]]
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the chunks of an answer, one choice after the other."""
        async for piece in self._choice(0, first):
            yield piece
        for index, begun in enumerate(following, 1):
            async for piece in self._choice(index, await begun):
                yield piece
        if self._body.tells_usage:
            yield self._envelope.document([], usage=usage_of(self._lasts, self._body.n))

    async def _choice(self, index: int, generation: Generation) -> AsyncIterator[dict[str, Any]]:
        yield self._chunk(index, {"role": "assistant", "content": ""})
        responses: list[GenerateResponse] = []
        async with aclosing(generation.responses()) as stream:
            async for response in stream:
                responses.append(response)
                self._log_probs += response.log_probs if self._body.logprobs else ()
                if response.text_delta:
                    yield self._chunk(index, {"content": response.text_delta})
        whole = whole_of(responses)
        self._lasts.append(whole.last)
        if not index:
            await self._recorder.keep(self._envelope.id, self._envelope.model, *answered(self._body, whole))
        calls = called(self._body, whole.tool_calls)
        for place, call in enumerate(call_documents(calls)):
            yield self._chunk(index, {"tool_calls": [{"index": place, **call}]})
        yield self._chunk(index, {}, "tool_calls" if calls else finish_reason_of(whole.last))

    def _chunk(self, index: int, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        facts, self._log_probs = self._log_probs, []
        choice = {
            "index": index,
            "delta": delta,
            "logprobs": chat_log_probs(facts) if facts else None,
            "finish_reason": finish_reason,
        }
        more = {"usage": None} if self._body.tells_usage else {}
        return self._envelope.document([choice], **more)
