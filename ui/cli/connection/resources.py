"""The nouns of the API: what their methods, made from the contract, have in common."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any, TypeVar

from drillyard.job.v1.job_pb2 import JobEvent
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message

from ui.cli.connection.async_gateway import AsyncGateway
from ui.cli.connection.errors import GatewayError
from ui.cli.connection.gateway import Gateway
from ui.cli.connection.requests import Document, Event, Request, target_of

MessageT = TypeVar("MessageT", bound=Message)
_JSON = "application/json"


class Resource:
    """A noun of the API at a gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def _call(
        self, kind: type[MessageT], field: str, route: str, values: Document, query: Document | None = None
    ) -> MessageT:
        return message_of(kind, field, self._gateway.request(request_of(route, values, query)))

    def _pages(self, kind: type[MessageT], field: str, route: str, values: Document) -> Iterator[MessageT]:
        token = ""
        while True:
            page = self._gateway.request(request_of(route, {**values, "page_token": token}))
            yield from (message_of(kind, "", entry) for entry in page[field])
            token = page.get("next_page_token", "")
            if not token:
                return

    def _watch(self, kind: type[MessageT], path: str, values: Document) -> Iterator[MessageT]:
        for event in self._gateway.events(path_of(path, values), values["after_sequence"]):
            yield _event_of(kind, event)


class AsyncResource:
    """A noun of the API at a gateway, for programs with an event loop."""

    def __init__(self, gateway: AsyncGateway) -> None:
        self._gateway = gateway

    async def _call(
        self, kind: type[MessageT], field: str, route: str, values: Document, query: Document | None = None
    ) -> MessageT:
        return message_of(kind, field, await self._gateway.request(request_of(route, values, query)))

    async def _pages(self, kind: type[MessageT], field: str, route: str, values: Document) -> AsyncGenerator[MessageT]:
        token = ""
        while True:
            page = await self._gateway.request(request_of(route, {**values, "page_token": token}))
            for entry in page[field]:
                yield message_of(kind, "", entry)
            token = page.get("next_page_token", "")
            if not token:
                return

    async def _watch(self, kind: type[MessageT], path: str, values: Document) -> AsyncGenerator[MessageT]:
        async for event in self._gateway.events(path_of(path, values), values["after_sequence"]):
            yield _event_of(kind, event)


def request_of(route: str, values: Mapping[str, Any], query: Mapping[str, Any] | None = None) -> Request:
    """Return the request of a route such as `POST /loops/{loop_id}/cancel`.

    Args:
        route: Verb and path below `/api/v1`.
        values: Of the path, and then of the query or the body; None is left out. A `request_id` that is None becomes a
            new one, so that the request is safe to repeat.
        query: What a route with a body takes beside it.
    """
    method, _, path = route.partition(" ")
    given = {name: _json(value) for name, value in values.items() if value is not None}
    if "request_id" in values:
        given.setdefault("request_id", uuid.uuid4().hex)
    rest = {name: value for name, value in given.items() if name not in names_of(path)}
    if method in ("GET", "DELETE"):
        return Request(method, target_of(path_of(path, given), rest), is_repeatable=method == "GET")
    content = json.dumps(rest).encode()
    return Request(method, target_of(path_of(path, given), query or {}), content, _JSON, "request_id" in rest)


def names_of(route: str) -> list[str]:
    """Return the names in a route's path."""
    return re.findall(r"{(\w+)", route)


def path_of(path: str, values: Mapping[str, Any]) -> str:
    """Return a route's path with its names filled in.

    Raises:
        GatewayError: A value would lead to another route.
    """

    def value_of(match: re.Match[str]) -> str:
        value = str(values[match[1]])
        parts = value.split("/") if match[2] else [value]
        if any(part in ("", ".", "..") or "/" in part for part in parts):
            raise GatewayError("INVALID_ARGUMENT", f"{value[:200]!r} is no {match[1]}.", "Copy one from a list.")
        return value

    return re.sub(r"{(\w+)(:path)?}", value_of, path)


def message_of(kind: type[MessageT], field: str, document: Document) -> MessageT:
    """Return the message of an answer, or of one field of it; what a newer gateway tells besides is left out."""
    return ParseDict(document[field] if field else document, kind(), ignore_unknown_fields=True)


def _event_of(kind: type[MessageT], event: Event) -> MessageT:
    names = JobEvent.DESCRIPTOR.fields_by_name
    own = {name: event.body[name] for name in event.body if name in names}
    return message_of(kind, "", {**event.body, "event": own})


def _json(value: Any) -> Any:
    if isinstance(value, Message):
        return MessageToDict(value, preserving_proto_field_name=True)
    if isinstance(value, Mapping):
        return {name: _json(item) for name, item in value.items()}
    return [_json(item) for item in value] if isinstance(value, list | tuple) else value
