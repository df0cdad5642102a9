"""Chat messages, from the wire and to it."""

from __future__ import annotations

from typing import Any

from drillyard.test_runner.v1 import transcript_pb2 as pb

from services.feedback.domain.item import ChatMessage


def message_from_proto(message: pb.Message) -> ChatMessage:
    """Return the message in OpenAI's form."""
    chat: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        chat["tool_calls"] = [
            {"id": call.tool_call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        chat["tool_call_id"] = message.tool_call_id
    return chat


def message_to_proto(chat: ChatMessage) -> pb.Message:
    """Return the message that is in OpenAI's form."""
    calls = [
        pb.ToolCall(
            tool_call_id=call.get("id", ""), name=call["function"]["name"], arguments=call["function"]["arguments"]
        )
        for call in chat.get("tool_calls") or ()
    ]
    return pb.Message(
        role=chat["role"],
        content=chat.get("content") or "",
        tool_calls=calls,
        tool_call_id=chat.get("tool_call_id", ""),
    )
