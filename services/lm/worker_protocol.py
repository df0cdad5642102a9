"""What a generation worker and its parent say to each other, one JSON object per line; imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, TypeVar

from services.lm.errors import LmError

T = TypeVar("T")

MAX_LINE_BYTES: Final = 64 << 20
FinishReason = Literal["stop", "length", "context_overflow"]
ErrorCode = Literal["invalid_argument", "resource_exhausted", "internal"]


class InvalidLine(LmError):
    """A line that is not a message of this protocol."""


@dataclass(frozen=True)
class Prompt:
    """One conversation to answer; `key` names it in the answers and, with `seed`, fixes what is sampled."""

    key: str
    messages: tuple[Mapping[str, Any], ...]
    max_new_tokens: int
    seed: int = 0


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen: temperature 0 is greedy; `top_p` 1 and `top_k` 0 leave every token in."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0


@dataclass(frozen=True)
class Generate:
    """Answer all `prompts`; `max_batch` bounds how many are decoded at once (0: the worker's own choice)."""

    id: int
    prompts: tuple[Prompt, ...]
    sampling: Sampling = field(default_factory=Sampling)
    max_batch: int = 0
    op: Literal["generate"] = "generate"


@dataclass(frozen=True)
class Preview:
    """Show how `messages` are rendered, without generating."""

    id: int
    messages: tuple[Mapping[str, Any], ...]
    op: Literal["preview"] = "preview"


@dataclass(frozen=True)
class Cancel:
    """End the request `id`; it is answered by its `Done` with `cancelled` set."""

    id: int
    op: Literal["cancel"] = "cancel"


Request = Generate | Preview | Cancel


@dataclass(frozen=True)
class Ready:
    """The worker has loaded its model; the first line it writes."""

    dtype: str
    threads: int
    model_digest: str
    adapter_digest: str
    chat_template_digest: str
    max_positions: int
    library_versions: Mapping[str, str]
    load_seconds: float
    event: Literal["ready"] = "ready"


@dataclass(frozen=True)
class Answer:
    """One finished sequence; seconds are its own share of the batch's time, `detail` says why nothing was computed."""

    id: int
    key: str
    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    prompt_tokens: int
    cached_tokens: int
    prefill_seconds: float
    decode_seconds: float
    detail: str = ""
    event: Literal["answer"] = "answer"


@dataclass(frozen=True)
class Progress:
    """Sent about every second while sequences are decoded: tokens so far, sequences in the batch and waiting."""

    id: int
    tokens: int
    active: int
    waiting: int
    event: Literal["progress"] = "progress"


@dataclass(frozen=True)
class Done:
    """The request is over; every answer has been sent before."""

    id: int
    tokens: int
    seconds: float
    cancelled: bool = False
    event: Literal["done"] = "done"


@dataclass(frozen=True)
class Previewed:
    """The rendered prompt."""

    id: int
    text: str
    token_ids: tuple[int, ...]
    event: Literal["previewed"] = "previewed"


@dataclass(frozen=True)
class Failed:
    """The request, or with id 0 the worker itself, could not go on."""

    id: int
    code: ErrorCode
    problem: str
    next_step: str
    event: Literal["error"] = "error"


Event = Ready | Answer | Progress | Done | Previewed | Failed
_EVENTS: Final[Mapping[str, type[Event]]] = {
    "ready": Ready,
    "answer": Answer,
    "progress": Progress,
    "done": Done,
    "previewed": Previewed,
    "error": Failed,
}


def encode(message: Request | Event) -> bytes:
    """The message as one line of UTF-8 JSON."""
    return json.dumps(asdict(message), ensure_ascii=False, separators=(",", ":")).encode("utf-8") + b"\n"


def decode_event(line: bytes) -> Event:
    """The event in one line that a worker wrote.

    Raises:
        InvalidLine: It is none.
    """
    fields = _object(line)
    kind = _EVENTS.get(str(fields.get("event")))
    if kind is None:
        raise _invalid("names no known event")
    if "token_ids" in fields:
        fields["token_ids"] = tuple(fields["token_ids"])
    return _build(kind, fields)


def decode_request(line: bytes) -> Request:
    """The request in one line that a parent wrote, with every value checked.

    Raises:
        InvalidLine: It is none, or a value is of the wrong type or out of range.
    """
    fields = _object(line)
    if not isinstance(fields.get("id"), int):
        raise _invalid("has no whole number as id")
    match fields.get("op"):
        case "generate":
            return _generate(fields)
        case "preview":
            return Preview(fields["id"], _messages(fields.get("messages")))
        case "cancel":
            return Cancel(fields["id"])
        case _:
            raise _invalid("names no known op")


def _generate(fields: dict[str, Any]) -> Generate:
    prompts = fields.get("prompts")
    max_batch = fields.get("max_batch") or 0
    if not isinstance(prompts, list) or not prompts:
        raise _invalid("has no prompts")
    if not isinstance(max_batch, int) or not 0 <= max_batch <= 4096:
        raise _invalid("has a max_batch that is not between 0 and 4096")
    decoded = tuple(_prompt(prompt) for prompt in prompts)
    if len({prompt.key for prompt in decoded}) != len(decoded):
        raise _invalid("has two prompts of one key")
    return Generate(fields["id"], decoded, _sampling(fields.get("sampling") or {}), max_batch)


def _prompt(fields: object) -> Prompt:
    if not isinstance(fields, dict) or not isinstance(fields.get("key"), str):
        raise _invalid("has a prompt without a key")
    count, seed = fields.get("max_new_tokens"), fields.get("seed", 0)
    if not isinstance(count, int) or not 1 <= count <= 1 << 20:
        raise _invalid(f"asks for {count!r} new tokens")
    if not isinstance(seed, int):
        raise _invalid("has a seed that is not a whole number")
    return Prompt(fields["key"], _messages(fields.get("messages")), count, seed)


def _messages(value: object) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        raise _invalid("has no list of messages")
    return tuple(value)


def _sampling(fields: Mapping[str, Any]) -> Sampling:
    sampling = _build(Sampling, dict(fields))
    temperature, top_p, top_k = sampling.temperature, sampling.top_p, sampling.top_k
    if not all(isinstance(value, int | float) for value in (temperature, top_p, top_k)):
        raise _invalid("has sampling settings that are not numbers")
    if not (0 <= temperature <= 10 and 0 < top_p <= 1 and 0 <= top_k <= 1 << 20):
        raise _invalid("has sampling settings out of range")
    return sampling


def _object(line: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise _invalid("is not JSON") from error
    if not isinstance(fields, dict):
        raise _invalid("is not a JSON object")
    return fields


def _build(kind: type[T], fields: Mapping[str, Any]) -> T:
    try:
        return kind(**fields)
    except TypeError as error:
        raise _invalid(f"does not fit {kind.__name__} ({error})") from error


def _invalid(why: str) -> InvalidLine:
    return InvalidLine(f"The line {why}.", "Send one JSON object per line as worker_protocol describes.")
