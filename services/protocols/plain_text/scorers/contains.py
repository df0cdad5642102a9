"""`contains`: a target stands in the answer, or, with `all`, every target does."""

from __future__ import annotations

from services.protocols.cases import CaseError, Scoring
from services.protocols.plain_text.scorers.exact import OPTIONS, form_of
from services.protocols.plain_text.scorers.nouns import Scorer


def score(answer: str, scoring: Scoring) -> float:
    """Return 1 when a target stands in the answer; with `all` the share of targets that do."""
    text = form_of(answer, scoring)
    found = [form_of(target, scoring) in text for target in scoring.targets]
    return sum(found) / len(found) if scoring.options.get("all") else float(any(found))


def check(scoring: Scoring) -> None:
    """Refuse a target that stands in every answer."""
    for place, target in enumerate(scoring.targets):
        if not form_of(target, scoring):
            raise CaseError(f"scoring.targets[{place}]", "is blank, so every answer would hold it")


CONTAINS = Scorer(score, {**OPTIONS, "all": bool}, check=check)
