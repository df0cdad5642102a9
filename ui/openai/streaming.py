"""Answers as server-sent events in OpenAI's form."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from sse_starlette import EventSourceResponse, ServerSentEvent

from services.chassis.errors import ServiceError
from ui.openai.errors import OpenAIError, told_error

_PING_SECONDS = 10
_DONE = "[DONE]"
STREAMED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer; with `stream` its pieces as server-sent events.",
        "content": {"text/event-stream": {"schema": {"type": "object", "properties": {"data": {"type": "string"}}}}},
    }
}


@dataclass(frozen=True)
class Envelope:
    """What every piece of one answer repeats."""

    kind: str
    model: str
    prefix: str
    created: int = field(default_factory=lambda: int(time.time()))
    key: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def id(self) -> str:
        """The id by which a client names the answer."""
        return f"{self.prefix}-{self.key}"

    def document(self, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        """Return a whole answer, or a piece of one."""
        head = {"id": self.id, "object": self.kind, "created": self.created, "model": self.model}
        return {**head, "choices": choices, **more}


def event_stream(pieces: AsyncIterator[dict[str, Any]]) -> EventSourceResponse:
    """Return the response that streams these documents; an error on the way is the last of them."""
    return EventSourceResponse(_events(pieces), ping=_PING_SECONDS, sep="\n")


async def _events(pieces: AsyncIterator[dict[str, Any]]) -> AsyncIterator[ServerSentEvent]:
    try:
        async for piece in pieces:
            yield ServerSentEvent(data=json.dumps(piece))
        yield ServerSentEvent(data=_DONE)
    except (ServiceError, OpenAIError) as error:
        yield ServerSentEvent(data=json.dumps(told_error(error).body))
