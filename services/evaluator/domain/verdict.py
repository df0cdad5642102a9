"""Verdicts: what the client would make of one answer, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from services.protocols.verdict import UNANSWERED, LayerStatus

NO_CAUSE = "none"


@dataclass(frozen=True)
class Layer:
    """One question that a verdict answers.

    Attributes:
        span: the guilty part of the answer, in characters.
        score: how much of what the layer asks is there, 0 to 1; None where it does not apply or was not kept.
        turn: number of the answer, from 0, that the span is in.
    """

    name: str
    status: LayerStatus
    detail: str = ""
    span: tuple[int, int] | None = None
    score: float | None = None
    turn: int = 0

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form in which the store keeps it."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Layer:
        """Return the layer that `to_document` wrote."""
        span = document["span"]
        return cls(
            document["name"],
            LayerStatus(document["status"]),
            document["detail"],
            tuple(span) if span else None,
            document.get("score"),
            document.get("turn", 0),
        )


@dataclass(frozen=True)
class Spent:
    """What the answers of one transcript took; `latency_seconds` is reading and writing together."""

    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    num_generated_tokens: int = 0
    latency_seconds: float = 0.0
    decode_seconds: float = 0.0


NOTHING_SPENT = Spent()


@dataclass(frozen=True)
class Verdict:
    """Judges one transcript.

    Attributes:
        sequence: the transcript's place in its run.
        cause: empty when it conforms.
        fault: what is wrong on the first layer that failed; empty when it conforms.
        is_sole: it fails, and nothing else is wrong: all that the case asks besides passed.
        had_client_error: the client gave an error that later answers had to recover from.
        scores: reward components by name, each 0 to 1 (see `services.protocols.judging.rewards`).
        style_notes: broken rules of style; they do not touch the other fields.
    """

    sequence: int
    transcript_id: str
    case_id: str
    repeat: int
    tool: str
    category: str
    conforming: bool
    accepted: bool
    well_formed: bool
    cause: str
    sentence: str
    layers: tuple[Layer, ...]
    fault: str = ""
    is_sole: bool = False
    num_turns: int = 1
    had_client_error: bool = False
    scores: Mapping[str, float] = field(default_factory=dict)
    style_notes: tuple[str, ...] = ()
    spent: Spent = NOTHING_SPENT

    @property
    def is_answered(self) -> bool:
        """Whether there is an answer that was judged."""
        return self.cause != UNANSWERED

    @property
    def layer(self) -> str:
        """Name of the first layer that failed; empty when it conforms."""
        return next((layer.name for layer in self.layers if layer.status is LayerStatus.FAILED), "")


@dataclass(frozen=True)
class VerdictFilter:
    """Which verdicts are wanted; what is empty lets all through.

    Attributes:
        cause: "none" for conforming ones.
        category: the whole name of a kind of task, or its first words up to a full stop.
        layer: the first layer that failed.
    """

    tool: str = ""
    cause: str = ""
    category: str = ""
    layer: str = ""
    case_id: str = ""
