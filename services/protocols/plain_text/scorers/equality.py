"""Scorers that look for a target word by word: `exact` for the whole answer, `contains` within it."""

import string

from services.protocols.cases import CaseError, Scoring
from services.protocols.javascript import trim
from services.protocols.plain_text.scorers.scorer import Scorer

_NO_MARKS = str.maketrans("", "", string.punctuation)
_OPTIONS = {"ignore_case": bool, "ignore_punctuation": bool}


def _form(text: str, scoring: Scoring) -> str:
    if scoring.options.get("ignore_case"):
        text = text.casefold()
    if scoring.options.get("ignore_punctuation"):
        text = " ".join(text.translate(_NO_MARKS).split())
    return trim(text)


def _exact(answer: str, scoring: Scoring) -> float:
    return float(_form(answer, scoring) in {_form(target, scoring) for target in scoring.targets})


def _contains(answer: str, scoring: Scoring) -> float:
    text = _form(answer, scoring)
    hits = [_form(target, scoring) in text for target in scoring.targets]
    return sum(hits) / len(hits) if scoring.options.get("all") else float(any(hits))


def _check_targets(scoring: Scoring) -> None:
    for place, target in enumerate(scoring.targets):
        if not _form(target, scoring):
            raise CaseError(f"scoring.targets[{place}]", "is blank, so every answer would hold it")


EXACT = Scorer(_exact, _OPTIONS)
CONTAINS = Scorer(_contains, {**_OPTIONS, "all": bool}, check=_check_targets)
