"""How an answer in plain text is scored."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.protocols.cases import fields as read
from services.protocols.cases.fields import CaseError, Reader, record


@dataclass(frozen=True, slots=True)
class Scoring:
    """A scorer, what it compares the answer with, and how much is enough.

    Attributes:
        scorer: name of the scorer, such as `exact`.
        targets: right answers, or patterns of them; the best of them counts.
        threshold: score, 0 to 1, from which the answer conforms.
        options: what else the scorer is told.
    """

    scorer: str
    targets: tuple[str, ...] = ()
    threshold: float = 1.0
    options: Mapping[str, object] = field(default_factory=dict)


def _share(value: object, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise CaseError(path, "must be a number from 0 to 1")
    return float(value)


scoring_from_document = record(Scoring, scorer=read.name, targets=read.strings, threshold=_share, options=read.mapping)
"""Reads the scoring that a document describes; CaseError names the field that is wrong by its path."""


def scoring_to_document(scoring: Scoring) -> dict[str, object]:
    """Return the JSON document of a scoring; defaults are left out."""
    document: dict[str, object] = {
        "scorer": scoring.scorer,
        "targets": list(scoring.targets),
        "threshold": scoring.threshold if scoring.threshold != 1.0 else [],
        "options": dict(scoring.options),
    }
    return {name: value for name, value in document.items() if value not in ({}, [])}


_message: Reader[dict[str, str]] = record(dict, role=read.name, content=read.text)


def message_from_document(value: object, path: str) -> tuple[str, str]:
    """Return role and content of one message of a prompt; CaseError names the field that is wrong by its `path`."""
    message = _message(value, path)
    if message["role"] not in ("system", "user", "assistant"):
        raise CaseError(f"{path}.role", "must be system, user or assistant")
    return message["role"], message["content"]
