"""Scorers of plain text, one a file."""

from collections.abc import Mapping
from types import MappingProxyType

from services.protocols.cases import CaseError, Scoring
from services.protocols.plain_text.scorers.equality import CONTAINS, EXACT
from services.protocols.plain_text.scorers.json_schema import JSON_SCHEMA
from services.protocols.plain_text.scorers.overlap import F1, ROUGE_L, SACREBLEU
from services.protocols.plain_text.scorers.regex import REGEX
from services.protocols.plain_text.scorers.scorer import Scorer

__all__ = ["NONE", "SCORERS", "Scorer", "scorer_of"]

NONE = "none"
"""The scorer that leaves the judgement to a grader: any answer that says something conforms."""

SCORERS: Mapping[str, Scorer] = MappingProxyType(
    {
        "exact": EXACT,
        "contains": CONTAINS,
        "regex": REGEX,
        "json_schema": JSON_SCHEMA,
        "f1": F1,
        "rouge_l": ROUGE_L,
        "sacrebleu": SACREBLEU,
        NONE: Scorer(lambda answer, scoring: 1.0, needs_targets=False),
    }
)


def scorer_of(scoring: Scoring) -> Scorer:
    """Return the scorer that a case names; CaseError when there is none of that name."""
    if scoring.scorer not in SCORERS:
        raise CaseError("scoring.scorer", f"{scoring.scorer!r} is no scorer; there are: {', '.join(SCORERS)}")
    return SCORERS[scoring.scorer]
