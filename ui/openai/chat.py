"""`POST /v1/chat/completions`: a conversation answered by a model of the registry."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from drillyard.test_runner.v1.transcript_pb2 import GenerateRequest, GenerateResponse, Message, TokenLogProb, ToolCall
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from ui.openai.errors import ERROR_RESPONSES, OpenAIRoute
from ui.openai.feedback import Recorder, answer_message, session_of
from ui.openai.generation import (
    Generation,
    Whole,
    call_documents,
    caller_of,
    finish_reason_of,
    sampling_of,
    seed_of,
    unless_gone,
    usage_of,
)
from ui.openai.log_probs import chat_log_probs
from ui.openai.models import default_answer_tokens
from ui.openai.schemas import ChatBody, MessageBody, plain
from ui.openai.served import ServedModelsOf, Target
from ui.openai.shadows import shadows_of
from ui.openai.streaming import STREAMED, Envelope, event_stream
from ui.shared.documents import ClientsOf

router = APIRouter(tags=["OpenAI"], route_class=OpenAIRoute, responses=ERROR_RESPONSES)


@router.post("/chat/completions", responses=STREAMED)
async def create_chat_completion(
    request: Request, clients: ClientsOf, served: ServedModelsOf, body: ChatBody
) -> Response:
    """Answer a conversation; with `stream` as server-sent events."""
    target = await served.target(body.model)
    generate_request, caller = _request(body, target), caller_of(request)
    version_id = target.version.model_version_id
    recorder = Recorder(clients, body, generate_request, session_of(request))
    on_end = shadows_of(request).after(clients, target, generate_request)
    if body.stream:
        generation = await unless_gone(request, Generation.begin(clients, recorder.asked(), caller, on_end))
        return event_stream(_Stream(body, version_id, recorder).pieces(generation))

    async def answer() -> Whole:
        return await (await Generation.begin(clients, recorder.asked(), caller, on_end)).whole()

    whole, envelope = await unless_gone(request, answer()), Envelope("chat.completion", version_id, "chatcmpl")
    message = answer_message(whole.text, list(whole.tool_calls))
    await recorder.keep(envelope.id, version_id, message, [entry.token_id for entry in whole.log_probs])
    return JSONResponse(_whole(body, envelope, whole))


def _request(body: ChatBody, target: Target) -> GenerateRequest:
    longest = body.max_completion_tokens or body.max_tokens or default_answer_tokens(target.version)
    request = GenerateRequest(
        messages=[_message(message) for message in body.messages],
        tools=[json.dumps(plain(tool)) for tool in body.offered],
        sampling=sampling_of(body, longest),
        stop=body.stops,
        seed=seed_of(body),
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


def _whole(body: ChatBody, envelope: Envelope, whole: Whole) -> dict[str, Any]:
    calls = whole.tool_calls
    choice = {
        "index": 0,
        "message": {**whole.to_chat(), "refusal": None},
        "logprobs": chat_log_probs(whole.log_probs) if body.logprobs else None,
        "finish_reason": "tool_calls" if calls else finish_reason_of(whole.last),
    }
    return envelope.document([choice], usage=usage_of(whole.last))


class _Stream:
    def __init__(self, body: ChatBody, model: str, recorder: Recorder) -> None:
        self._body = body
        self._recorder = recorder
        self._envelope = Envelope("chat.completion.chunk", model, "chatcmpl")
        self._log_probs: list[TokenLogProb] = []
        self._calls: list[ToolCall] = []
        self._text = ""
        self._token_ids: list[int] = []

    async def pieces(self, generation: Generation) -> AsyncIterator[dict[str, Any]]:
        """Yield the chunks of an answer."""
        yield self._chunk({"role": "assistant", "content": ""})
        last = GenerateResponse()
        async with aclosing(generation.responses()) as responses:
            async for last in responses:
                self._log_probs += last.log_probs if self._body.logprobs else ()
                self._calls += last.tool_calls
                if self._recorder.is_on:
                    self._text += last.text_delta
                    self._token_ids += [entry.token_id for entry in last.log_probs]
                if last.text_delta:
                    yield self._chunk({"content": last.text_delta})
        answer = answer_message(self._text, self._calls)
        await self._recorder.keep(self._envelope.id, self._envelope.model, answer, self._token_ids)
        for place, call in enumerate(call_documents(self._calls)):
            yield self._chunk({"tool_calls": [{"index": place, **call}]})
        yield self._chunk({}, "tool_calls" if self._calls else finish_reason_of(last))
        if self._body.tells_usage:
            yield self._envelope.document([], usage=usage_of(last))

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        facts, self._log_probs = self._log_probs, []
        choice = {
            "index": 0,
            "delta": delta,
            "logprobs": chat_log_probs(facts) if facts else None,
            "finish_reason": finish_reason,
        }
        more = {"usage": None} if self._body.tells_usage else {}
        return self._envelope.document([choice], **more)
