"""Messages as lines of JSON, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final, TypeVar

from services.lm.errors import LmError
from services.lm.worker_protocol.events import Answer, Delta, Done, Event, Failed, Previewed, Progress, Ready
from services.lm.worker_protocol.requests import Request

T = TypeVar("T")

MAX_LINE_BYTES: Final = 64 << 20
# How JSON escapes either half of a surrogate pair.
_HALF_PAIR: Final = b"\\ud"
_EVENTS: Final[Mapping[str, type[Event]]] = {
    "ready": Ready,
    "answer": Answer,
    "delta": Delta,
    "progress": Progress,
    "done": Done,
    "previewed": Previewed,
    "error": Failed,
}


class InvalidLine(LmError):
    """A line that is not a message of this protocol."""


def encode(message: Request | Event) -> bytes:
    """The message as one line of UTF-8 JSON.

    Raises:
        InvalidLine: A text holds half a surrogate pair, which has no UTF-8 form.
    """
    text = json.dumps(asdict(message), ensure_ascii=False, separators=(",", ":"))
    return _utf8(text) + b"\n"


def decode_event(line: bytes) -> Event:
    """The event in one line that a worker wrote.

    Raises:
        InvalidLine: It is none.
    """
    fields = json_object(line)
    kind = _EVENTS.get(str(fields.get("event")))
    if kind is None:
        raise invalid("names no known event")
    return build(kind, {name: _frozen(value) for name, value in fields.items()})


def json_object(line: bytes) -> dict[str, Any]:
    """The JSON object of a line.

    Raises:
        InvalidLine: It holds none.
    """
    try:
        fields = json.loads(line)
    # A number of more digits than Python converts is a plain ValueError.
    except (ValueError, RecursionError) as error:
        raise invalid("is not JSON") from error
    if not isinstance(fields, dict):
        raise invalid("is not a JSON object")
    if _HALF_PAIR in line.lower():
        _utf8(json.dumps(fields, ensure_ascii=False))
    return fields


def build(kind: type[T], fields: Mapping[str, Any]) -> T:
    """A message of the class `kind`.

    Raises:
        InvalidLine: The fields are others.
    """
    try:
        return kind(**fields)
    except TypeError as error:
        raise invalid(f"does not fit {kind.__name__} ({error})") from error


def invalid(why: str) -> InvalidLine:
    """An error whose problem is "The line `why`."."""
    return InvalidLine(f"The line {why}.", "Send one JSON object per line as worker_protocol describes.")


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise invalid("holds half of a character") from error


def _frozen(value: Any) -> Any:
    """Lists as tuples, at any depth: no event holds a list."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
