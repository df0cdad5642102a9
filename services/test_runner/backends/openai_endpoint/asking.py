"""Asking an endpoint for one answer, again when the trouble may pass."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import httpx2

from services.lm.doctor.nouns import Conversation
from services.test_runner.backends.openai_endpoint.body import most_prompt_tokens, offered_tools, request_of
from services.test_runner.backends.openai_endpoint.facts import Facts
from services.test_runner.backends.openai_endpoint.reply import GarbledError, Reply
from services.test_runner.backends.openai_endpoint.servers import Server
from services.test_runner.backends.openai_endpoint.trouble import (
    ContextOverflowError,
    TroubleError,
    trouble_of,
    wait_seconds,
)
from services.test_runner.domain import FinishReason, TryOutcome
from services.test_runner.ports import Answer, Delta, Prompt, Workload

OnDelta = Callable[[Delta], None]
OnTry = Callable[[TryOutcome], None]


@dataclass(frozen=True)
class Tries:
    """How often a prompt is tried while its time lasts, and who is told what came of each try."""

    limit: int
    told: OnTry


class NoAnswerError(Exception):
    """The endpoint gave no answer to one prompt; the message is one sentence."""


class Asker:
    """Asks one endpoint with one key."""

    def __init__(self, client: httpx2.AsyncClient, server: Server, facts: Facts, key: str, tries: Tries) -> None:
        from openai import AsyncOpenAI, Omit

        self._server, self._facts, self._key, self._tries = server, facts, key, tries
        self._endpoint = server.requests.endpoint
        self._options: Any = {} if key else {"headers": {"Authorization": Omit()}}
        self._openai = AsyncOpenAI(
            api_key=key or "none",
            base_url=self._endpoint.base_url,
            max_retries=0,
            http_client=client,
        )

    async def answer(self, workload: Workload, prompt: Prompt, queue_seconds: float, on_delta: OnDelta) -> Answer:
        """Return the answer; with `stream` its pieces go to `on_delta` before.

        Raises:
            NoAnswerError: There is none.
            ServiceError: No prompt can be answered at this endpoint.
        """
        overflow = await self._overflow(workload, prompt)
        if overflow is not None:
            return overflow
        has_begun = False

        def deliver(delta: Delta) -> None:
            nonlocal has_begun
            has_begun = True
            on_delta(delta)

        for attempt in range(self._tries.limit):
            try:
                answer = await self._ask(workload, prompt, queue_seconds, deliver)
                self._tries.told(TryOutcome.TOO_LONG if answer.finish_reason.is_fault else TryOutcome.ANSWERED)
                return answer
            except ContextOverflowError as error:
                self._tries.told(TryOutcome.TOO_LONG)
                return _overflowed(prompt, error.num_prompt_tokens, str(error))
            except TroubleError as trouble:
                is_last = not trouble.may_pass or has_begun or attempt + 1 == self._tries.limit
                self._tries.told(TryOutcome.FAILED if is_last else TryOutcome.RETRIED)
                if is_last:
                    raise NoAnswerError(str(trouble)) from trouble
                await asyncio.sleep(wait_seconds(attempt, trouble))
        raise AssertionError("unreachable")

    async def _ask(self, workload: Workload, prompt: Prompt, queue_seconds: float, deliver: OnDelta) -> Answer:
        reply, start, first = Reply(), time.monotonic(), 0.0
        async for chunk in self._chunks(workload, prompt):
            try:
                delta = reply.add(chunk, prompt.key)
            except GarbledError as error:
                raise TroubleError(str(error)) from error
            first = first or time.monotonic() - start
            if delta is not None and workload.stream:
                deliver(delta)
        if reply.finish_reason is None:
            raise TroubleError("The endpoint's stream ended before its answer did.", may_pass=True)
        return self._finished(workload, prompt, reply, (queue_seconds, *reply.seconds(first, time.monotonic() - start)))

    async def _chunks(self, workload: Workload, prompt: Prompt) -> AsyncIterator[object]:
        from openai import AsyncStream, OpenAIError

        path, body = request_of(workload, prompt, self._facts.kind)
        try:
            stream: Any = await self._openai.post(
                path, cast_to=object, body=body, options=self._options, stream=True, stream_cls=AsyncStream[object]
            )
            async with aclosing(stream):
                async for chunk in stream:
                    yield chunk
        except (OpenAIError, httpx2.HTTPError, ValueError, RecursionError) as error:
            raise trouble_of(error, self._endpoint, self._key) from error

    def _finished(
        self, workload: Workload, prompt: Prompt, reply: Reply, seconds: tuple[float, float, float]
    ) -> Answer:
        wanted = reply.num_prompt_tokens + workload.sampling.max_new_tokens
        context = self._facts.num_context_tokens
        # Ollama cuts a prompt that is too long and answers the rest of it.
        if context and wanted > context and reply.finish_reason is not FinishReason.LENGTH:
            return _overflowed(prompt, reply.num_prompt_tokens, _too_long(reply.num_prompt_tokens, workload, context))
        assert reply.finish_reason is not None
        return Answer(
            key=prompt.key,
            text="".join(reply.text),
            finish_reason=reply.finish_reason,
            token_ids=reply.token_ids,
            num_prompt_tokens=reply.num_prompt_tokens,
            num_cached_tokens=reply.num_cached_tokens,
            queue_seconds=seconds[0],
            prefill_seconds=seconds[1],
            decode_seconds=seconds[2],
            num_generated_tokens=reply.num_generated_tokens,
            calls=reply.calls,
            tokens=tuple(reply.tokens),
        )

    async def _overflow(self, workload: Workload, prompt: Prompt) -> Answer | None:
        """Return the answer to a prompt that is known to be too long, before any token is spent."""
        context, tools = self._facts.num_context_tokens, offered_tools(self._endpoint, prompt)
        room = context - workload.sampling.max_new_tokens
        if not context or prompt.text or most_prompt_tokens(prompt, tools) <= room:
            return None
        chats = tuple(message.to_chat() for message in prompt.messages)
        num_tokens = await self._server.num_prompt_tokens(Conversation(prompt.key, chats, tuple(tools)))
        if num_tokens <= room:
            return None
        return _overflowed(prompt, num_tokens, _too_long(num_tokens, workload, context))


def _too_long(num_tokens: int, workload: Workload, context: int) -> str:
    wanted = workload.sampling.max_new_tokens
    return f"The prompt has {num_tokens} tokens and {wanted} new ones were asked for; the endpoint holds {context}."


def _overflowed(prompt: Prompt, num_tokens: int, sentence: str) -> Answer:
    return Answer(prompt.key, "", FinishReason.CONTEXT_OVERFLOW, num_prompt_tokens=num_tokens, detail=sentence)
