"""One turn between a model and its client: what the model answers, what the client remembers, what it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from services.protocols.cases import McpServer

FinishReason = Literal["stop", "length"]
CallVerdict = Literal["accepted", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function call beside the text, as the model wrote it.

    Attributes:
        arguments: raw text, meant to be JSON.
    """

    name: str
    arguments: str
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered in one turn.

    Attributes:
        text: its text; the whole answer where calls are written as text.
        calls: its function calls, in order; none where the protocol has no such thing.
        finish_reason: `length` when the token limit ended the answer.
    """

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    finish_reason: FinishReason = "stop"


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What the client made of one call.

    Attributes:
        tool: name as the answer writes it.
        verdict: `accepted` when the tool did or offered its work, `failed` when it was answered with an error,
            `skipped` when the client did not look at it.
        codes: what the client remarked, in stable words such as `missing_param:path` or `denied_by_user`.
        reply: text that the model gets for the call; empty where the client says nothing.
        call_id: id of the function call that it answers, if it has one.
    """

    tool: str
    verdict: CallVerdict
    codes: tuple[str, ...] = ()
    reply: str = ""
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class TurnOutcome:
    """What the client made of one answer; what it remembers of it is in the `ClientState`.

    Attributes:
        calls: one outcome per attempted call; none when the answer used no tool.
        turn_failed: a tool failed in a way that forbids completion in the same turn.
        attempts: complete calls that reached their checks, by tool.
        failures: failures that the client records, by tool.
        completed: the result that an accepted completion told; None while the task goes on.
    """

    calls: tuple[CallOutcome, ...] = ()
    turn_failed: bool = False
    attempts: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    completed: str | None = None

    @property
    def used_tool(self) -> bool:
        """Whether the client saw a call at all."""
        return bool(self.calls)


@dataclass(slots=True)
class ClientState:
    """What the client remembers from turn to turn. A profile's dispatcher changes it in place.

    Attributes:
        mode: slug of the current mode.
        files: text by path of the workspace files whose text is known; edits land here.
        paths: further paths that exist.
        todos: checklist as (status, text) pairs; None while there is none.
        mistakes: consecutive mistakes.
        turns_without_tool: turns in a row that used no tool.
        last_call: canonical form of the last call, for the repetition check.
        identical_calls: how often `last_call` came in a row.
        denied_tools: tools that the user refuses.
        mistake_limit: mistakes, and identical calls, that the client bears.
        fuzzy_threshold: similarity from which a diff's block matches, 0 to 1.
    """

    mode: str = "code"
    files: dict[str, str] = field(default_factory=dict)
    paths: frozenset[str] = frozenset()
    mcp: tuple[McpServer, ...] = ()
    custom_modes: Sequence[Mapping[str, object]] = ()
    model_id: str = "local-model"
    todos: list[tuple[str, str]] | None = None
    mistakes: int = 0
    turns_without_tool: int = 0
    last_call: str = ""
    identical_calls: int = 0
    denied_tools: frozenset[str] = frozenset()
    requirements: Mapping[str, bool] = MappingProxyType({})
    mistake_limit: int = 3
    fuzzy_threshold: float = 1.0
