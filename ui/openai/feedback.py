"""Feedback on answers of chats: `POST /v1/feedback`, and answers that are kept so that it can name them."""

from __future__ import annotations

import structlog
from drillyard.feedback.v1.chat_answer_pb2 import ChatAnswer, StoreChatAnswerRequest
from drillyard.test_runner.v1.transcript_pb2 import GenerateRequest, Message, ToolCall

from services.chassis.errors import ServiceError
from ui.gateway.clients import Clients
from ui.openai.errors import ERROR_RESPONSES, OpenAIRoute
from ui.openai.schemas import ChatBody
from ui.shared.rpc import RpcRouter

_log = structlog.get_logger()
router = RpcRouter(tags=["OpenAI"], route_class=OpenAIRoute, responses=ERROR_RESPONSES)
router.rpc(
    "POST /feedback",
    "feedback.CreateFeedbackItem",
    "Say what is right or wrong about an answer. `chat_completion_id` names one that was asked for with `store`.",
)


async def keep_answer(
    clients: Clients, body: ChatBody, completion_id: str, request: GenerateRequest, *, model: str, answer: Message
) -> None:
    """Keep an answer under its id where the caller has asked for that; an answer is never lost because it cannot be."""
    if not body.store:
        return
    chat = ChatAnswer(
        model_version_id=model, messages=[*request.messages, answer], tools=request.tools, metadata=body.metadata or {}
    )
    try:
        await clients.feedback.StoreChatAnswer(StoreChatAnswerRequest(chat_completion_id=completion_id, chat=chat))
    except ServiceError as error:
        _log.warning("chat_answer_not_kept", chat_completion_id=completion_id, reason=str(error))


def answer_message(text: str, calls: list[ToolCall]) -> Message:
    """Return an answer as a message."""
    return Message(role="assistant", content=text, tool_calls=calls)
