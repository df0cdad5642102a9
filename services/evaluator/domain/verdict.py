"""Verdicts: what the client would make of one answer, layer by layer."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from services.protocols.verdict import LayerStatus


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
class Verdict:
    """Judges one transcript; `sequence` is the transcript's place in its run, `cause` is empty when it conforms."""

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


@dataclass(frozen=True)
class VerdictFilter:
    """Which verdicts are wanted: of one tool, with one cause; empty for all, cause "none" for conforming ones."""

    tool: str = ""
    cause: str = ""


NO_CAUSE = "none"
