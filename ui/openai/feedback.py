"""Feedback on answers of chats: `POST /v1/feedback`, and answers that are kept so that it can name them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from drillyard.feedback.v1.chat_session_pb2 import ChatAnswer, StoreChatAnswerRequest
from drillyard.test_runner.v1.transcript_pb2 import GenerateRequest, Message, ToolCall
from fastapi import Request

from services.chassis.errors import ServiceError
from ui.gateway.clients import Clients
from ui.openai.errors import ERROR_RESPONSES, OpenAIError, OpenAIRoute
from ui.openai.schemas import ChatBody
from ui.shared.rpc import RpcRouter

SESSION_HEADER = "x-drillyard-session"
_SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_log = structlog.get_logger()
router = RpcRouter(tags=["OpenAI"], route_class=OpenAIRoute, responses=ERROR_RESPONSES)
router.rpc(
    "POST /feedback",
    "feedback.CreateFeedbackItem",
    "Say what is right or wrong about an answer. `chat_completion_id` names one that was asked for with `store`.",
)


@dataclass(frozen=True)
class Recorder:
    """Keeps the answers to one request: where the caller has asked for that, or in a recorded session.

    Attributes:
        session_id: The session, by the path of the request or its header; empty for none.
    """

    clients: Clients
    body: ChatBody
    request: GenerateRequest
    session_id: str = ""

    @property
    def is_on(self) -> bool:
        """Whether the answer is kept."""
        return bool(self.body.store or self.session_id)

    def asked(self) -> GenerateRequest:
        """Return the request, which in a session asks our own worker for the answer's tokens as well."""
        if self.session_id and self.request.model_version_id:
            self.request.log_probs = True
        return self.request

    async def keep(self, completion_id: str, model: str, answer: Message, token_ids: Sequence[int] = ()) -> None:
        """Keep an answer under its id; none is lost to its caller because it cannot be kept."""
        if not self.is_on:
            return
        chat = ChatAnswer(
            model_version_id=model,
            messages=[*self.request.messages, answer],
            tools=self.request.tools,
            metadata=self.body.metadata or {},
            session_id=self.session_id,
            token_ids=token_ids if self.session_id else (),
        )
        request = StoreChatAnswerRequest(chat_completion_id=completion_id, chat=chat)
        try:
            await self.clients.feedback.StoreChatAnswer(request)
        except ServiceError as error:
            _log.warning("chat_answer_not_kept", chat_completion_id=completion_id, reason=str(error))


def session_of(request: Request) -> str:
    """Return the recorded session that a request belongs to, by its path or its header; empty for none.

    Raises:
        OpenAIError: No session can have that name.
    """
    name = str(request.path_params.get("session_id") or request.headers.get(SESSION_HEADER, ""))
    if name and not _SESSION.fullmatch(name):
        problem = f"No session can have the name {name[:80]!a}: use up to 64 letters, digits, dots and dashes."
        raise OpenAIError(problem, code="invalid_session", param="session_id")
    return name


def answer_message(text: str, calls: list[ToolCall]) -> Message:
    """Return an answer as a message."""
    return Message(role="assistant", content=text, tool_calls=calls)
