"""What the doctor is asked and what it finds, from and to JSON; imports neither torch nor transformers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from services.lm.errors import LmError

Severity = Literal["error", "warning", "note"]
T = TypeVar("T")


def _with_role(message: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(message.get("role"), str):
        raise ValueError("a message lacks its role")
    return message


Message = Annotated[Mapping[str, Any], AfterValidator(_with_role)]
Tool = Mapping[str, Any]

MAX_REQUEST_BYTES: Final = 64 << 20
MAX_EVIDENCE_CHARACTERS: Final = 400
_GRAVITY: Final[Mapping[str, int]] = {"error": 0, "warning": 1, "note": 2}


class InvalidRequest(LmError):
    """What the doctor was asked is not a request."""


@dataclass(frozen=True)
class Conversation:
    """Messages as a protocol sends them, in OpenAI's form, with the functions that go beside them.

    Attributes:
        name: What it is, in a few words.
        messages: Begins as a case does; may end with an answer or with what the model is to answer.
        tools: Function definitions; none where calls are text.
    """

    name: str
    messages: Annotated[tuple[Message, ...], Field(min_length=1)]
    tools: tuple[Tool, ...] = ()

    @property
    def prompt(self) -> tuple[Message, ...]:
        """The messages up to the last that a model is asked with."""
        return self.messages[:-1] if self.messages[-1]["role"] == "assistant" else self.messages

    @property
    def answers(self) -> tuple[int, ...]:
        """Places of the answers."""
        return tuple(place for place, message in enumerate(self.messages) if message["role"] == "assistant")


@dataclass(frozen=True)
class Request:
    """What a model is to carry: conversations, and the longest answer in tokens."""

    conversations: tuple[Conversation, ...]
    max_new_tokens: int = 192


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: what, how to mend it, and the text that shows it."""

    code: str
    severity: Severity
    problem: str
    fix: str
    evidence: str = ""


@dataclass(frozen=True)
class Rendering:
    """The prompt of one conversation as text and as token ids."""

    name: str
    text: str
    token_ids: tuple[int, ...]


@dataclass(frozen=True)
class Diagnosis:
    """What was found, the gravest first, and what was looked at."""

    findings: tuple[Finding, ...]
    checks: tuple[str, ...]
    num_prompt_tokens: int = 0
    num_context_tokens: int = 0
    renderings: tuple[Rendering, ...] = ()


def gravest_first(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the findings in the order in which a person should mend them."""
    return tuple(sorted(findings, key=lambda finding: _GRAVITY[finding.severity]))


def excerpt(text: str, at: int = 0) -> str:
    """The text around the place `at`, short enough to be shown."""
    start = max(0, at - MAX_EVIDENCE_CHARACTERS // 4)
    end = start + MAX_EVIDENCE_CHARACTERS - 2
    return ("…" if start else "") + text[start:end] + ("…" if end < len(text) else "")


def first_difference(left: Sequence[object], right: Sequence[object]) -> int:
    """The first place in which two sequences differ, the shorter one's length where it begins the other."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(left), len(right)))


def to_json(value: Request | Diagnosis) -> bytes:
    """Return the request or the diagnosis as UTF-8 JSON."""
    return json.dumps(asdict(value), separators=(",", ":")).encode("utf-8")


def request_from_json(text: bytes) -> Request:
    """Return the request that `to_json` wrote.

    Raises:
        InvalidRequest: It is none.
    """
    return _read(_REQUEST, text, "Send conversations and max_new_tokens.")


def diagnosis_from_json(text: bytes) -> Diagnosis:
    """Return the diagnosis that `to_json` wrote.

    Raises:
        InvalidRequest: It is none.
    """
    return _read(_DIAGNOSIS, text, "Run the same release in all parts.")


_REQUEST: Final = TypeAdapter(Request)
_DIAGNOSIS: Final = TypeAdapter(Diagnosis)


def _read(adapter: TypeAdapter[T], text: bytes, next_step: str) -> T:
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, fault["loc"])) or "The JSON"
        raise InvalidRequest(f"{place}: {fault['msg']}.", next_step) from error
