"""Trying a model by hand: conversations, cases of a suite, prompts as they are rendered, answers and verdicts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from drillyard.evaluator.v1.verdict_pb2 import JudgeRequest
from drillyard.test_runner.v1.test_run_pb2 import Endpoint, Sampling
from drillyard.test_runner.v1.transcript_pb2 import (
    FinishReason,
    GenerateRequest,
    GenerateResponse,
    Message,
    RenderPromptRequest,
    ToolCall,
)

from services.chassis.errors import InvalidArgument, NotFound
from services.protocols.cases import CaseError, case_from_document
from services.protocols.profile import get_profile
from services.protocols.session import Session
from ui.gateway.clients import Clients
from ui.playground.views import JudgementView, PromptView, judgement_view, prompt_view
from ui.test_suites.actions import read_case

# The first answer of a model waits for a process that loads it.
_RENDER_SECONDS = 90.0
_ANSWER_SECONDS = 600.0


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
    document: str
    answers: tuple[str, ...] = field(default=())

    @property
    def profile_id(self) -> str:
        """The protocol that the suite is written for."""
        return self.suite.partition("/")[0]

    def conversation(self) -> Conversation:
        """Return what the model is asked next: the client's replies to the answers so far are simulated."""
        session = self._session()
        for answer in self.answers:
            if session.stop:
                break
            session.answer(get_profile(self.profile_id).read_answer(answer))
        return Conversation(
            messages=tuple(map(_message, session.messages)),
            tools=tuple(json.dumps(tool, default=dict) for tool in session.tools),
            stop=session.stop or "",
        )

    def _session(self) -> Session:
        profile = get_profile(self.profile_id)
        try:
            case = case_from_document(json.loads(self.document))
        except CaseError as error:
            raise InvalidArgument(f"The case {self.case_id} cannot be read: {error}.", "Choose another.") from error
        sizes = profile.prompt_sizes
        return Session(profile, case, self.prompt_size if self.prompt_size in sizes else sizes[0])


async def open_case(clients: Clients, suite: str, case_id: str, prompt_size: str) -> CaseAtWork:
    """Return a case before its first answer.

    Raises:
        NotFound: There is no such suite or case.
    """
    case = await read_case(clients, suite, case_id)
    if case is None:
        raise NotFound(f"The suite {suite} has no case {case_id[:100]!r}.", "Choose one of the list.", field="case")
    return CaseAtWork(suite, case_id, prompt_size, case.document)


async def render_prompt(clients: Clients, model_version_id: str, conversation: Conversation) -> PromptView:
    """Return the exact text and tokens that a registered model reads."""
    request = RenderPromptRequest(
        model_version_id=model_version_id, messages=conversation.messages, tools=conversation.tools
    )
    return prompt_view(await clients.test_runner.RenderPrompt(request, timeout=_RENDER_SECONDS))


async def answer(
    clients: Clients, subject: Subject, conversation: Conversation, *, sampling: Sampling, seed: int
) -> AsyncIterator[tuple[str, GenerateResponse]]:
    """Yield the whole text so far with each message of the stream; native calls stand at its end."""
    request = GenerateRequest(
        model_version_id=subject.model_version_id,
        endpoint=subject.endpoint,
        messages=conversation.messages,
        tools=conversation.tools,
        sampling=sampling,
        seed=seed,
    )
    text = ""
    stream: Any = clients.test_runner.Generate(request, timeout=_ANSWER_SECONDS)
    async with aclosing(aiter(stream)) as pieces:
        async for piece in pieces:
            text += piece.text_delta + _written(piece.tool_calls)
            yield text, piece


async def judge_case(clients: Clients, case: CaseAtWork, *, is_cut: bool) -> JudgementView:
    """Return what the client makes of the answers to a case."""
    request = JudgeRequest(
        profile_id=case.profile_id,
        case_document=case.document,
        answer=case.answers[0],
        further_answers=case.answers[1:],
        finish_reason="length" if is_cut else "stop",
    )
    verdict = (await clients.evaluator.Judge(request)).verdict
    return judgement_view(verdict, case.answers[-1], len(case.answers) - 1)


def was_cut(last: GenerateResponse) -> bool:
    """Return whether the token limit ended an answer."""
    return last.finish_reason == FinishReason.FINISH_REASON_LENGTH


def _message(chat: Mapping[str, Any]) -> Message:
    calls = [
        ToolCall(
            tool_call_id=tool_call["id"],
            name=tool_call["function"]["name"],
            arguments=tool_call["function"]["arguments"],
        )
        for tool_call in chat.get("tool_calls", ())
    ]
    return Message(
        role=chat["role"], content=chat["content"], tool_calls=calls, tool_call_id=chat.get("tool_call_id", "")
    )


def _written(calls: Sequence[ToolCall]) -> str:
    """Return calls in the form in which models' templates write them into text, which every profile reads."""
    result = []
    for call in calls:
        try:
            arguments = json.loads(call.arguments)
        except ValueError:
            arguments = call.arguments
        document = json.dumps({"name": call.name, "arguments": arguments}, ensure_ascii=False)
        result.append(f"\n<tool_call>\n{document}\n</tool_call>")
    return "".join(result)
