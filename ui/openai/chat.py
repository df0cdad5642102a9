"""`POST /v1/chat/completions`: a conversation answered by a model of the registry."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from drillyard.registry.v1.model_pb2 import ModelVersion
from drillyard.test_runner.v1.transcript_pb2 import GenerateRequest, GenerateResponse, Message, TokenLogProb, ToolCall
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from ui.openai.calls import Call, CallGate, call_documents, read_calls
from ui.openai.errors import OpenAIRoute
from ui.openai.generation import Generation, Whole, finish_reason_of, sampling_of, seed_of, unless_gone, usage_of
from ui.openai.log_probs import chat_log_probs
from ui.openai.models import default_answer_tokens, version_of
from ui.openai.schemas import ChatBody, MessageBody, plain
from ui.openai.streaming import Envelope, event_stream
from ui.shared.documents import ClientsOf

router = APIRouter(tags=["OpenAI"], route_class=OpenAIRoute)


@router.post("/chat/completions")
async def create_chat_completion(request: Request, clients: ClientsOf, body: ChatBody) -> Response:
    """Answer a conversation; with `stream` as server-sent events."""
    version = await version_of(clients, body.model)
    asked = _request(body, version)
    if body.stream:
        generation = await unless_gone(request, Generation.begin(clients, asked))
        return event_stream(_Stream(body, version.model_version_id).pieces(generation))

    async def answer() -> Whole:
        return await (await Generation.begin(clients, asked)).whole()

    return JSONResponse(_whole(body, version, await unless_gone(request, answer())))


def _request(body: ChatBody, version: ModelVersion) -> GenerateRequest:
    longest = body.max_completion_tokens or body.max_tokens or default_answer_tokens(version)
    return GenerateRequest(
        model_version_id=version.model_version_id,
        messages=[_message(message) for message in body.messages],
        tools=[json.dumps(plain(tool)) for tool in body.offered],
        sampling=sampling_of(body, longest),
        stop=body.stops,
        seed=seed_of(body),
        log_probs=bool(body.logprobs),
        num_top_log_probs=body.top_logprobs or 0,
    )


def _message(message: MessageBody) -> Message:
    calls = [
        ToolCall(tool_call_id=call.id, name=call.function.name, arguments=call.function.arguments)
        for call in message.tool_calls or []
    ]
    role = "system" if message.role == "developer" else message.role
    return Message(role=role, content=message.text, tool_calls=calls, tool_call_id=message.tool_call_id)


def _names(body: ChatBody) -> tuple[str, ...]:
    return tuple(tool.function.name for tool in body.offered)


def _native(tool_calls: tuple[ToolCall, ...]) -> tuple[Call, ...]:
    return tuple(Call(call.name, call.arguments, call.tool_call_id) for call in tool_calls)


def _whole(body: ChatBody, version: ModelVersion, whole: Whole) -> dict[str, Any]:
    names, calls, text = _names(body), _native(whole.tool_calls), whole.text
    if names and not calls:
        text, calls = read_calls(text, names)
    message: dict[str, Any] = {"role": "assistant", "content": text if text or not calls else None, "refusal": None}
    if calls:
        message["tool_calls"] = call_documents(calls)
    choice = {
        "index": 0,
        "message": message,
        "logprobs": chat_log_probs(whole.log_probs) if body.logprobs else None,
        "finish_reason": "tool_calls" if calls else finish_reason_of(whole.last),
    }
    envelope = Envelope("chat.completion", version.model_version_id, "chatcmpl")
    return envelope.document([choice], usage=usage_of(whole.last))


class _Stream:
    def __init__(self, body: ChatBody, model: str) -> None:
        self._body = body
        self._gate = CallGate(_names(body))
        self._envelope = Envelope("chat.completion.chunk", model, "chatcmpl")
        self._log_probs: list[TokenLogProb] = []
        self._calls: tuple[Call, ...] = ()

    async def pieces(self, generation: Generation) -> AsyncIterator[dict[str, Any]]:
        """Yield the chunks of an answer."""
        yield self._chunk({"role": "assistant", "content": ""})
        last = GenerateResponse()
        async with aclosing(generation.responses()) as responses:
            async for last in responses:
                self._log_probs += last.log_probs
                self._calls += _native(tuple(last.tool_calls))
                if text := self._gate.feed(last.text_delta):
                    yield self._chunk({"content": text})
        for delta in self._rest():
            yield self._chunk(delta)
        yield self._chunk({}, "tool_calls" if self._calls else finish_reason_of(last))
        if self._body.tells_usage:
            yield self._envelope.document([], usage=usage_of(last))

    def _rest(self) -> list[dict[str, Any]]:
        text, calls = self._gate.finish()
        self._calls = self._calls or calls
        deltas: list[dict[str, Any]] = [{"content": text}] if text else []
        listed = call_documents(self._calls)
        return deltas + [{"tool_calls": [{"index": place, **call}]} for place, call in enumerate(listed)]

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
