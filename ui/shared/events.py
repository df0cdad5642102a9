"""Job events as server-sent events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import Header, Query, Request
from google.protobuf.json_format import MessageToDict
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import Receive, Scope, Send

from services.chassis.errors import Busy, ServiceError
from services.chassis.waiting import follow

PING_SECONDS = 3
# A reader is told of a longer absence, and reconnects.
_PATIENCE_SECONDS = 60.0
# The reference tells of one event; the stream is as many as there are.
_EVENT = {"type": "object", "properties": {name: {"type": "string"} for name in ("id", "event", "data")}}
EVENT_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events: `id` is the sequence, `event` the type, `data` the event as JSON. "
        "The stream ends after the final event; reconnect with `Last-Event-ID` to miss and repeat nothing.",
        "content": {"text/event-stream": {"schema": _EVENT}},
    },
}
AfterSequence = Annotated[int, Query(ge=0, le=2**63 - 1, description="Only events after this one.")]
LastEventId = Annotated[str, Header(pattern=r"^\d{0,18}$", description="Sequence of the last event that was read.")]


OpenStream = Callable[[int], AsyncIterable[Any]]


class EventStreams:
    """The event streams that are open, bounded so that idle readers cannot use up the gateway."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._num_open = 0

    def respond(self, open_stream: OpenStream, after_sequence: int) -> EventSourceResponse:
        """Return the response that streams the events of a Watch RPC, over lost connections too.

        Raises:
            Busy: As many streams as allowed are open.
        """
        if self._num_open >= self._limit:
            raise Busy(f"{self._limit} event streams are open, the limit.", "Close one and try again.")
        # Counted before it opens, or all that come at once would find room.
        self._num_open += 1
        return _CountedResponse(self._stream(open_stream, after_sequence), self._close)

    def _close(self) -> None:
        self._num_open -= 1

    async def _stream(self, open_stream: OpenStream, after_sequence: int) -> AsyncIterator[ServerSentEvent]:
        try:
            async for response in follow(
                lambda after: aiter(open_stream(after)),
                _sequence,
                peer="the service",
                after_sequence=after_sequence,
                seconds=_PATIENCE_SECONDS,
            ):
                yield server_sent(response)
        except ServiceError as error:
            problem = {"code": error.code, "problem": error.problem, "next_step": error.next_step}
            yield ServerSentEvent(event="problem", data=json.dumps(problem))


class _CountedResponse(EventSourceResponse):
    """A stream that says when it is over, whether it ever began or not."""

    def __init__(self, events: AsyncIterator[ServerSentEvent], on_end: Callable[[], None]) -> None:
        super().__init__(events, ping=PING_SECONDS)
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()


def server_sent(response: Any) -> ServerSentEvent:
    """Return what a Watch told in the form of the stream; what the kind of job tells stands beside what all do."""
    body = MessageToDict(response, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    document = {**body.pop("event"), **body}
    return ServerSentEvent(id=str(response.event.sequence), event=response.event.type, data=json.dumps(document))


def streams_of(request: Request) -> EventStreams:
    """Return the application's open event streams."""
    streams: EventStreams = request.app.state.event_streams
    return streams


def start_after(after_sequence: int, last_event_id: str) -> int:
    """Return the sequence to continue after; a reconnecting reader's `Last-Event-ID` wins."""
    return int(last_event_id) if last_event_id else after_sequence


def _sequence(response: Any) -> int:
    return int(response.event.sequence)
