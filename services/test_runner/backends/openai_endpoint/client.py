"""Asking an endpoint for one answer, again when the failure may pass."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx2

from services.lm.doctor.diagnosis import Conversation
from services.protocols.turn import call_id_of
from services.test_runner.backends.openai_endpoint.calls import GarbledError
from services.test_runner.backends.openai_endpoint.facts import Facts
from services.test_runner.backends.openai_endpoint.failures import (
    ContextOverflowError,
    EndpointFailure,
    failure_of,
    wait_seconds,
)
from services.test_runner.backends.openai_endpoint.gates import Gate
from services.test_runner.backends.openai_endpoint.reply import Reply
from services.test_runner.backends.openai_endpoint.request_body import most_prompt_tokens, offered_tools, request_of
from services.test_runner.backends.openai_endpoint.servers import Server
from services.test_runner.domain.endpoint import TryOutcome
from services.test_runner.domain.transcript import FinishReason, ToolCall
from services.test_runner.ports.generation import Answer, Delta, Prompt, Workload

OnDelta = Callable[[Delta], None]
OnTry = Callable[[TryOutcome], None]

_OUTCOMES = {
    FinishReason.CONTEXT_OVERFLOW: TryOutcome.TOO_LONG,
    FinishReason.TEMPLATE_FAULT: TryOutcome.REFUSED,
    FinishReason.BACKEND_FAULT: TryOutcome.FAILED,
}


@dataclass(frozen=True)
class Tries:
    """How often a prompt is tried while its time lasts, and what hears what came of each try."""

    limit: int
    on_try: OnTry


class _Clock:
    """A prompt's time: what it waits for a place does not count."""

    def __init__(self, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        self.seconds = 0.0

    def limit(self) -> asyncio.Timeout:
        left = max(self._limit_seconds - self.seconds, 0.0)
        return asyncio.timeout(left if self._limit_seconds else None)

    @contextmanager
    def running(self) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds += time.monotonic() - start


class EndpointClient:
    """Asks one endpoint with one key."""

    def __init__(self, client: httpx2.AsyncClient, server: Server, facts: Facts, key: str, tries: Tries) -> None:
        from openai import AsyncOpenAI, Omit

        self._server, self._facts, self._key, self._tries = server, facts, key, tries
        self._endpoint = server.requests.endpoint
        self._options: Any = {} if key else {"headers": {"Authorization": Omit()}}
        self._openai = AsyncOpenAI(
            api_key=key or "none", base_url=self._endpoint.base_url, max_retries=0, http_client=client
        )

    async def answer(self, workload: Workload, prompt: Prompt, gate: Gate, on_delta: OnDelta) -> Answer:
        """Return the answer, or why there is none; with `stream` its pieces go to `on_delta` before.

        Raises:
            ServiceError: No prompt can be answered at this endpoint.
        """
        clock = _Clock(prompt.timeout_seconds)
        try:
            answer = await self._answer_with_retries(workload, prompt, gate, on_delta, clock)
        except TimeoutError:
            answer = _fault(
                prompt, EndpointFailure(f"The endpoint did not answer within {prompt.timeout_seconds:g} s.")
            )
        except EndpointFailure as failure:
            answer = _fault(prompt, failure)
        self._tries.on_try(_OUTCOMES.get(answer.finish_reason, TryOutcome.ANSWERED))
        return replace(answer, decode_seconds=clock.seconds) if answer.finish_reason.is_fault else answer

    async def _answer_with_retries(
        self, workload: Workload, prompt: Prompt, gate: Gate, on_delta: OnDelta, clock: _Clock
    ) -> Answer:
        has_begun, queued = False, 0.0

        def deliver(delta: Delta) -> None:
            nonlocal has_begun
            has_begun = True
            on_delta(delta)

        attempt = 0
        while True:
            start = time.monotonic()
            async with gate.entered(self._endpoint.max_concurrency):
                begun = time.monotonic()
                queued += begun - start
                try:
                    with clock.running():
                        async with clock.limit():
                            answer = await self._answer_once(workload, prompt, deliver)
                    return replace(answer, queue_seconds=queued)
                except EndpointFailure as failure:
                    # What fails beside others is no try of its own as long as fewer can be asked at once.
                    attempt += not (failure.is_busy and gate.narrow(begun))
                    if not failure.may_pass or has_begun or attempt >= self._tries.limit:
                        raise
                    seconds = wait_seconds(max(attempt - 1, 0), failure)
            self._tries.on_try(TryOutcome.RETRIED)
            with clock.running():
                async with clock.limit():
                    await asyncio.sleep(seconds)

    async def _answer_once(self, workload: Workload, prompt: Prompt, deliver: OnDelta) -> Answer:
        await self._check_length(workload, prompt)
        reply, start, first = Reply(), time.monotonic(), 0.0
        try:
            async for chunk in self._chunks(workload, prompt, reply):
                delta = reply.add(chunk, prompt.key)
                first = first or time.monotonic() - start
                if delta is not None and workload.stream:
                    deliver(delta)
            if reply.finish_reason is None:
                raise EndpointFailure("The endpoint's stream ended before its answer did.", may_pass=True)
            return self._finished(workload, prompt, reply, reply.seconds(first, time.monotonic() - start))
        except GarbledError as error:
            raise EndpointFailure(str(error)) from error

    async def _chunks(self, workload: Workload, prompt: Prompt, reply: Reply) -> AsyncIterator[object]:
        from openai import OpenAIError

        from services.test_runner.backends.openai_endpoint.chunk_stream import ChunkStream

        path, body = request_of(workload, prompt, self._facts)
        try:
            stream = await self._openai.post(
                path, cast_to=object, body=body, options=self._options, stream=True, stream_cls=ChunkStream
            )
            async with aclosing(stream):
                async for chunk in stream:
                    yield chunk
            reply.is_done = stream.is_done
        except (OpenAIError, httpx2.HTTPError, ValueError, RecursionError) as error:
            raise failure_of(error, self._endpoint, self._key) from error

    def _finished(self, workload: Workload, prompt: Prompt, reply: Reply, seconds: tuple[float, float]) -> Answer:
        assert reply.finish_reason is not None
        reason, most = reply.finish_reason, workload.sampling.max_new_tokens
        if not reply.has_reason and reply.num_generated_tokens >= most:
            reason = FinishReason.LENGTH
        context, num_tokens = self._facts.num_context_tokens, reply.num_prompt_tokens + most
        # Ollama cuts a prompt that is too long and answers the rest of it.
        if context and num_tokens > context and reason is not FinishReason.LENGTH:
            raise _too_long(reply.num_prompt_tokens, workload, context)
        if reason is not FinishReason.LENGTH:
            reply.check_content()
        # A text is continued on a route that has no delta.
        departures = reply.departures if prompt.messages else ()
        remarks = (reply.remark, *(departure.sentence for departure in departures))
        return Answer(
            key=prompt.key,
            text="".join(reply.text),
            finish_reason=reason,
            token_ids=reply.token_ids,
            num_prompt_tokens=reply.num_prompt_tokens,
            num_cached_tokens=reply.num_cached_tokens,
            prefill_seconds=seconds[0],
            decode_seconds=seconds[1],
            num_generated_tokens=reply.num_generated_tokens,
            detail=" ".join(filter(None, remarks)),
            stop_text=reply.stop_text if reply.stop_text in prompt.stop else "",
            calls=_calls(prompt, reply),
            tokens=tuple(reply.tokens),
            departures=departures,
        )

    async def _check_length(self, workload: Workload, prompt: Prompt) -> None:
        """Return when the prompt is not known to be too long, before any token is spent."""
        context, tools = self._facts.num_context_tokens, offered_tools(self._endpoint, prompt)
        room = context - workload.sampling.max_new_tokens
        if not context or not prompt.messages or most_prompt_tokens(prompt, tools) <= room:
            return
        chats = tuple(message.to_chat() for message in prompt.messages)
        num_tokens = await self._server.num_prompt_tokens(Conversation(prompt.key, chats, tuple(tools)))
        if num_tokens > room:
            raise _too_long(num_tokens, workload, context)


def _calls(prompt: Prompt, reply: Reply) -> tuple[ToolCall, ...]:
    turn = sum(message.role == "assistant" for message in prompt.messages)
    return tuple(
        ToolCall(call_id_of(turn, place), name, arguments) for place, (name, arguments) in enumerate(reply.calls)
    )


def _too_long(num_tokens: int, workload: Workload, context: int) -> ContextOverflowError:
    num_new = workload.sampling.max_new_tokens
    return ContextOverflowError(
        f"The prompt has {num_tokens} tokens and {num_new} new ones were asked for; the endpoint holds {context}.",
        num_tokens,
    )


def _fault(prompt: Prompt, failure: EndpointFailure) -> Answer:
    return Answer(
        prompt.key, "", failure.finish_reason, num_prompt_tokens=failure.num_prompt_tokens, detail=str(failure)
    )
