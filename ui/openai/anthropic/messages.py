"""`POST /v1/messages`: a conversation in Anthropic's shape, answered as a chat is, or counted."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

from drillyard.test_runner.v1.transcript_pb2 import (
    FINISH_REASON_LENGTH,
    GenerateResponse,
    RenderPromptRequest,
    ToolCall,
)
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from services.chassis.errors import ServiceError
from ui.openai.anthropic.schemas import CountBody, MessagesBody
from ui.openai.chat import answered, called, request_of
from ui.openai.errors import ANTHROPIC_RESPONSES, AnthropicRoute, OpenAIError, anthropic_body, told_error
from ui.openai.feedback import Recorder, session_of
from ui.openai.generation import Generation, call_documents, caller_of, unless_gone, whole_of
from ui.openai.schemas import ChatBody
from ui.openai.served import ServedModelsOf
from ui.openai.shadowing.shadows import shadows_of
from ui.openai.streaming import STREAMED
from ui.shared.documents import ClientsOf

Event = dict[str, Any]
_PING_SECONDS = 10
# A model may have to be loaded first.
_COUNT_SECONDS = 90
router = APIRouter(tags=["Anthropic"], route_class=AnthropicRoute, responses=ANTHROPIC_RESPONSES)


@router.post("/messages", responses=STREAMED)
async def create_message(request: Request, clients: ClientsOf, served: ServedModelsOf, body: MessagesBody) -> Response:
    """Answer a conversation; with `stream` as server-sent events."""
    chat = body.chat()
    target = await served.target(chat.model)
    asked = request_of(chat, target)
    recorder = Recorder(clients, chat, asked, session_of(request))
    on_end = shadows_of(request).after(clients, target, asked)
    begun = Generation.begin(clients, recorder.asked(), caller_of(request), on_end)
    answer = _Answer(chat, target.version.model_version_id, recorder)
    generation = await unless_gone(request, begun)
    if body.stream:
        return EventSourceResponse(_streamed(answer.events(generation)), ping=_PING_SECONDS, sep="\n")
    return JSONResponse(await unless_gone(request, answer.document(generation)))


@router.post("/messages/count_tokens")
async def count_tokens(request: Request, clients: ClientsOf, served: ServedModelsOf, body: CountBody) -> dict[str, int]:
    """Count the tokens of a conversation and its tools, as the model that would answer reads them."""
    chat = body.chat()
    target = await served.target(chat.model)
    asked = request_of(chat, target)
    order = target.ask(RenderPromptRequest(messages=asked.messages, tools=asked.tools))

    async def count() -> int:
        return len((await clients.test_runner.RenderPrompt(order, timeout=_COUNT_SECONDS)).token_ids)

    return {"input_tokens": await unless_gone(request, count())}


class _Answer:
    """An answer to one request, as a document or as the events that build the same document."""

    def __init__(self, chat: ChatBody, model: str, recorder: Recorder) -> None:
        self._chat, self._recorder = chat, recorder
        self._head = {"id": f"msg_{uuid.uuid4().hex}", "type": "message", "role": "assistant", "model": model}

    async def document(self, generation: Generation) -> dict[str, Any]:
        """Return the answer once it is whole."""
        whole = await generation.whole()
        await self._keep(whole)
        calls = called(self._chat, whole.tool_calls)
        # As a stream has it, where what came before is sent.
        text = whole.text.rstrip() if calls else whole.text
        content = [{"type": "text", "text": text}] if text or not calls else []
        content += [_tool_use(call, _input(call)) for call in call_documents(calls)]
        return {**self._head, "content": content, **_end(whole.last, calls), "usage": _usage(whole.last)}

    async def events(self, generation: Generation) -> AsyncIterator[Event]:
        """Yield the events of the answer."""
        nothing = {"input_tokens": 0, "output_tokens": 0}
        start: Event = {**self._head, "content": [], "stop_reason": None, "stop_sequence": None, "usage": nothing}
        yield {"type": "message_start", "message": start}
        responses: list[GenerateResponse] = []
        held, has_text = "", False
        async with aclosing(generation.responses()) as stream:
            async for response in stream:
                # White space in front of calls is left out, so it waits for what follows it.
                held += response.text_delta
                if solid := held.rstrip():
                    for event in _text_events(solid, begins=not has_text):
                        yield event
                    held, has_text = held[len(solid) :], True
                responses.append(response)
        whole = whole_of(responses)
        await self._keep(whole)
        calls = called(self._chat, whole.tool_calls)
        if not calls:
            for event in _text_events(held, begins=not has_text):
                yield event
            has_text = True
        if has_text:
            yield {"type": "content_block_stop", "index": 0}
        for index, call in enumerate(call_documents(calls), int(has_text)):
            yield _block_start(index, _tool_use(call, {}))
            yield _delta(index, {"type": "input_json_delta", "partial_json": json.dumps(_input(call))})
            yield {"type": "content_block_stop", "index": index}
        yield {"type": "message_delta", "delta": _end(whole.last, calls), "usage": _usage(whole.last)}
        yield {"type": "message_stop"}

    async def _keep(self, whole: Any) -> None:
        await self._recorder.keep(self._head["id"], self._head["model"], *answered(self._chat, whole))


async def _streamed(events: AsyncIterator[Event]) -> AsyncIterator[ServerSentEvent]:
    try:
        async for event in events:
            yield _sent(event)
    except (ServiceError, OpenAIError) as error:
        yield _sent(anthropic_body(told_error(error)))


def _sent(event: Event) -> ServerSentEvent:
    return ServerSentEvent(data=json.dumps(event), event=event["type"])


def _text_events(text: str, *, begins: bool) -> Iterator[Event]:
    """Yield what adds `text` to the text block, which the first ones begin."""
    if begins:
        yield _block_start(0, {"type": "text", "text": ""})
    if text:
        yield _delta(0, {"type": "text_delta", "text": text})


def _block_start(index: int, block: dict[str, Any]) -> Event:
    return {"type": "content_block_start", "index": index, "content_block": block}


def _delta(index: int, delta: dict[str, Any]) -> Event:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def _tool_use(call: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_use", "id": call["id"], "name": call["function"]["name"], "input": arguments}


def _input(call: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call as an object; those that are none stand as text under `arguments`."""
    text = call["function"]["arguments"]
    try:
        arguments = json.loads(text)
    except (ValueError, RecursionError):
        arguments = None
    return arguments if isinstance(arguments, dict) else {"arguments": text}


def _end(last: GenerateResponse, calls: tuple[ToolCall, ...]) -> dict[str, Any]:
    if calls:
        reason = "tool_use"
    elif last.finish_reason == FINISH_REASON_LENGTH:
        reason = "max_tokens"
    else:
        reason = "stop_sequence" if last.stop_text else "end_turn"
    return {"stop_reason": reason, "stop_sequence": last.stop_text if reason == "stop_sequence" else None}


def _usage(last: GenerateResponse) -> dict[str, int]:
    """Return the numbers of tokens; those that came from a cache are counted apart."""
    return {
        "input_tokens": last.num_prompt_tokens - last.num_cached_tokens,
        "cache_read_input_tokens": last.num_cached_tokens,
        "cache_creation_input_tokens": 0,
        "output_tokens": last.num_generated_tokens,
    }
