"""`exact`: the answer is a target, blanks at the ends apart."""

from __future__ import annotations

import string

from services.protocols.cases import Scoring
from services.protocols.javascript import trim
from services.protocols.plain_text.scorers.nouns import Scorer

_NO_MARKS = str.maketrans("", "", string.punctuation)


def form_of(text: str, scoring: Scoring) -> str:
    """Return a text in the form in which the scoring's options let it be compared."""
    if scoring.options.get("ignore_case"):
        text = text.casefold()
    if scoring.options.get("ignore_punctuation"):
        text = " ".join(text.translate(_NO_MARKS).split())
    return trim(text)


def score(answer: str, scoring: Scoring) -> float:
    """Return 1 when the answer equals a target, else 0."""
    return float(form_of(answer, scoring) in {form_of(target, scoring) for target in scoring.targets})


OPTIONS = {"ignore_case": bool, "ignore_punctuation": bool}
EXACT = Scorer(score, OPTIONS)
