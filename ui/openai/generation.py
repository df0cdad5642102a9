"""One answer of a model, from the test runner's stream; a reader who goes away ends the work."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from drillyard.test_runner.v1.test_run_pb2 import Sampling
from drillyard.test_runner.v1.transcript_pb2 import (
    FINISH_REASON_BACKEND_FAULT,
    FINISH_REASON_CONTEXT_OVERFLOW,
    FINISH_REASON_LENGTH,
    GenerateRequest,
    GenerateResponse,
    TokenLogProb,
    ToolCall,
)
from fastapi import Request

from services.chassis.channel import CALLER_KEY, MAX_MESSAGE_BYTES
from ui.gateway.clients import Clients
from ui.openai.errors import OpenAIError
from ui.openai.schemas import SamplingBody

ResultT = TypeVar("ResultT")
_CLIENT_GONE = 499
_AT_ONCE = 8
# The strictest chat templates, to which the conversation may come back, ask for nine letters or digits.
_ID_BYTES, _ID_CHARACTERS = 5, 9


@dataclass(frozen=True)
class Whole:
    """A finished answer."""

    text: str
    tool_calls: tuple[ToolCall, ...]
    log_probs: tuple[TokenLogProb, ...]
    last: GenerateResponse

    def to_chat(self) -> dict[str, Any]:
        """Return the answer as a message in OpenAI's form."""
        calls = call_documents(self.tool_calls)
        text = self.text.strip() if calls else self.text
        message: dict[str, Any] = {"role": "assistant", "content": text if text or not calls else None}
        return message | ({"tool_calls": calls} if calls else {})


OnEnd = Callable[[Whole], None]


class Generation:
    """An answer under way, whose first words have come; `on_end` gets it once it is whole."""

    def __init__(self, stream: Any, first: GenerateResponse | None, on_end: OnEnd | None = None) -> None:
        self._stream = stream
        self._first = first
        self._on_end = on_end

    @classmethod
    async def begin(
        cls, clients: Clients, request: GenerateRequest, caller: str, on_end: OnEnd | None = None
    ) -> Generation:
        """Ask for an answer and wait for its first words; callers that wait for a model are served in turn.

        Raises:
            ServiceError: The test runner refused.
            OpenAIError: Prompt and answer do not fit the model, or the backend failed.
        """
        stream: Any = clients.test_runner.Generate(request, metadata=((CALLER_KEY, caller),))
        try:
            first: GenerateResponse | None = await anext(aiter(stream), None)
            if first is not None:
                refuse_fault(first)
        except BaseException:
            await stream.aclose()
            raise
        return cls(stream, first, on_end)

    async def responses(self) -> AsyncGenerator[GenerateResponse]:
        """Yield what comes, the last message included; leaving early ends the work."""
        responses = [self._first] if self._first is not None else []
        try:
            if self._first is not None:
                yield self._first
            async for response in self._stream:
                refuse_fault(response)
                if self._on_end is not None:
                    responses.append(response)
                yield response
            if self._on_end is not None:
                self._on_end(whole_of(responses))
        finally:
            await self._stream.aclose()

    async def whole(self) -> Whole:
        """Return the answer once it is finished."""
        return whole_of([response async for response in self.responses()])


def whole_of(responses: Sequence[GenerateResponse]) -> Whole:
    """Return the answer that came in these messages."""
    return Whole(
        text="".join(response.text_delta for response in responses),
        tool_calls=tuple(call for response in responses for call in response.tool_calls),
        log_probs=tuple(entry for response in responses for entry in response.log_probs),
        last=responses[-1] if responses else GenerateResponse(),
    )


def choices_of(request: GenerateRequest, n: int) -> list[GenerateRequest]:
    """Return the request `n` times, each with a seed of its own.

    Raises:
        OpenAIError: It is larger than a service takes; it is not copied then.
    """
    if request.ByteSize() > MAX_MESSAGE_BYTES:
        problem = f"The conversation and its tools are larger than the {MAX_MESSAGE_BYTES >> 20} MiB that can be asked."
        raise OpenAIError(problem, status=413, code="request_too_large")
    requests = [GenerateRequest() for _ in range(n)]
    for place, each in enumerate(requests):
        each.CopyFrom(request)
        each.seed = (request.seed + place) % 2**63
    return requests


async def answers(
    clients: Clients, requests: Sequence[GenerateRequest], caller: str, on_end: OnEnd | None = None
) -> list[Whole]:
    """Return the answers to all of these, a few asked at a time; `on_end` gets the first."""
    free = asyncio.Semaphore(_AT_ONCE)

    async def answer(place: int, request: GenerateRequest) -> Whole:
        async with free:
            return await (await Generation.begin(clients, request, caller, None if place else on_end)).whole()

    tasks = [asyncio.ensure_future(answer(place, request)) for place, request in enumerate(requests)]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def call_documents(calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    """Return calls in OpenAI's form, each with an id of its own."""
    return [
        {
            "id": call.tool_call_id or secrets.token_hex(_ID_BYTES)[:_ID_CHARACTERS],
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in calls
    ]


def caller_of(request: Request) -> str:
    """Return a name for who asks: the same for all requests with one key from one address."""
    address = request.client.host if request.client else ""
    key = request.headers.get("authorization") or request.headers.get("x-api-key", "")
    return hashlib.sha256(f"{address} {key}".encode()).hexdigest()[:32]


def refuse_fault(response: GenerateResponse) -> None:
    """Return when the message is part of an answer.

    Raises:
        OpenAIError: It tells why there is none.
    """
    if response.finish_reason == FINISH_REASON_CONTEXT_OVERFLOW:
        problem = response.detail or "Prompt and answer do not fit the model's context."
        raise OpenAIError(problem, code="context_length_exceeded", param="max_tokens")
    if response.finish_reason == FINISH_REASON_BACKEND_FAULT:
        raise OpenAIError(response.detail or "The backend failed on this request.", status=502, code="backend_fault")


async def unless_gone(request: Request, work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Return the result of `work`, which is ended when the client goes away before."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise OpenAIError("The client closed the connection.", status=_CLIENT_GONE)
        return task.result()
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


def sampling_of(body: SamplingBody, max_new_tokens: int) -> Sampling:
    """Return how tokens are chosen."""
    names = Sampling.DESCRIPTOR.fields_by_name.keys() & SamplingBody.model_fields.keys()
    return Sampling(max_new_tokens=max_new_tokens, **{name: getattr(body, name) for name in names})


def seed_of(body: SamplingBody) -> int:
    """Return the seed that was asked for, or a new one; a negative one is taken by its last 63 bits."""
    return secrets.randbits(63) if body.seed is None else body.seed % 2**63


def finish_reason_of(last: GenerateResponse) -> str:
    """Return why the answer ended, in OpenAI's word."""
    return "length" if last.finish_reason == FINISH_REASON_LENGTH else "stop"


def usage_of(lasts: Sequence[GenerateResponse], n: int = 1) -> dict[str, Any]:
    """Return the number of tokens of these answers, of which `n` are to each prompt."""
    prompt, answer = (
        sum(last.num_prompt_tokens for last in lasts[::n]),
        sum(last.num_generated_tokens for last in lasts),
    )
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
        "prompt_tokens_details": {"cached_tokens": sum(last.num_cached_tokens for last in lasts[::n])},
    }


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
