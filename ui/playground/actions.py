"""Trying a model by hand: conversations, cases of a suite, prompts as they are rendered, answers and verdicts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from drillyard.evaluator.v1.verdict_pb2 import JudgeRequest
from drillyard.test_runner.v1.test_run_pb2 import Endpoint, Sampling
from drillyard.test_runner.v1.transcript_pb2 import (
    FinishReason,
    GenerateRequest,
    GenerateResponse,
    Message,
    RenderPromptRequest,
)

from services.chassis.errors import NotFound
from ui.gateway.clients import Clients
from ui.playground.views import JudgementView, PromptView, judgement_view, prompt_view
from ui.test_suites.actions import read_case

# The first answer of a model waits for a process that loads it.
_RENDER_SECONDS = 90.0
_ANSWER_SECONDS = 600.0
T = TypeVar("T")


@dataclass(frozen=True)
class Conversation:
    """What a model is asked.

    Attributes:
        tools: function definitions in OpenAI's form, as JSON text.
        stop: why the client takes no further answer; empty while it waits for one.
    """

    messages: tuple[Message, ...]
    tools: tuple[str, ...] = ()
    stop: str = ""


@dataclass(frozen=True)
class Subject:
    """Who answers: a registered version, or a served model."""

    model_version_id: str = ""
    endpoint: Endpoint | None = None


@dataclass(frozen=True)
class CaseAtWork:
    """A case of a suite and the answers to it so far."""

    suite: str
    case_id: str
    prompt_size: str
    answers: tuple[Message, ...] = ()


async def conversation_of(clients: Clients, case: CaseAtWork) -> Conversation:
    """Return what the model is asked next: the client's replies to the answers so far are simulated.

    Raises:
        NotFound: There is no such suite or case.
    """
    request = RenderPromptRequest(
        test_suite_version_id=case.suite, case_id=case.case_id, prompt_size=case.prompt_size, answers=case.answers
    )
    response = await clients.test_runner.RenderPrompt(request, timeout=_RENDER_SECONDS)
    return Conversation(tuple(response.messages), tuple(response.tools), response.stop)


async def render_prompt(clients: Clients, model_version_id: str, conversation: Conversation) -> PromptView:
    """Return the exact text and tokens that a registered model reads."""
    request = RenderPromptRequest(
        model_version_id=model_version_id, messages=conversation.messages, tools=conversation.tools
    )
    return prompt_view(await clients.test_runner.RenderPrompt(request, timeout=_RENDER_SECONDS))


async def answer(
    clients: Clients, subject: Subject, conversation: Conversation, *, sampling: Sampling, seed: int
) -> AsyncIterator[tuple[Message, GenerateResponse]]:
    """Yield the whole answer so far with each message of the stream."""
    request = GenerateRequest(
        model_version_id=subject.model_version_id,
        endpoint=subject.endpoint,
        messages=conversation.messages,
        tools=conversation.tools,
        sampling=sampling,
        seed=seed,
    )
    text, calls = "", []
    stream: Any = clients.test_runner.Generate(request, timeout=_ANSWER_SECONDS)
    async with aclosing(aiter(stream)) as pieces:
        async for piece in pieces:
            text += piece.text_delta
            calls += piece.tool_calls
            yield Message(role="assistant", content=text, tool_calls=calls), piece


async def merged(streams: list[AsyncIterator[T]]) -> AsyncIterator[T]:
    """Yield what several streams yield, as it comes; one that ends or waits holds no other up."""
    pieces: asyncio.Queue[T | None] = asyncio.Queue()

    async def drain(stream: AsyncIterator[T]) -> None:
        try:
            async for piece in stream:
                pieces.put_nowait(piece)
        finally:
            pieces.put_nowait(None)

    tasks = [asyncio.create_task(drain(stream)) for stream in streams]
    try:
        for _ in tasks:
            while (piece := await pieces.get()) is not None:
                yield piece
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def judge_case(clients: Clients, case: CaseAtWork, *, is_cut: bool) -> JudgementView:
    """Return what the client makes of the answers to a case.

    Raises:
        NotFound: There is no such suite or case.
    """
    stored = await read_case(clients, case.suite, case.case_id)
    if stored is None:
        raise NotFound(f"The suite {case.suite} has no case {case.case_id[:100]!r}.", "Choose one.", field="case_id")
    request = JudgeRequest(
        profile_id=case.suite.partition("/")[0],
        case_document=stored.document,
        messages=case.answers,
        finish_reason="length" if is_cut else "stop",
    )
    verdict = (await clients.evaluator.Judge(request)).verdict
    return judgement_view(verdict, case.answers[-1], len(case.answers) - 1)


def was_cut(last: GenerateResponse) -> bool:
    """Return whether the token limit ended an answer."""
    return last.finish_reason == FinishReason.FINISH_REASON_LENGTH
