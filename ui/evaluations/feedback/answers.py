"""Answers as people write them: plain text, or messages in OpenAI's form."""

from __future__ import annotations

import json
from typing import Any

from ui.cli.connection import Document


def messages_of(text: str) -> list[Document]:
    """Return the wire's messages for an answer: text as it is, or one message or a list of them as OpenAI's JSON."""
    try:
        value: Any = json.loads(text) if text.lstrip()[:1] in ("[", "{") else None
    except ValueError:
        value = None
    messages = [value] if isinstance(value, dict) else value
    # An answer may well be JSON itself; only what has a role is a message.
    if not isinstance(messages, list) or not messages or not all(_is_message(each) for each in messages):
        return [{"role": "assistant", "content": text}]
    return [_message(message) for message in messages]


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and value.get("role") == "assistant"


def _message(message: Document) -> Document:
    calls = [
        {
            "tool_call_id": call.get("id", ""),
            "name": call.get("function", {}).get("name", ""),
            "arguments": call.get("function", {}).get("arguments", ""),
        }
        for call in message.get("tool_calls") or ()
    ]
    return {"role": "assistant", "content": message.get("content") or "", "tool_calls": calls}
