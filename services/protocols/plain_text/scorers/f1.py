"""`f1`: the words that answer and target have in common, as question answering counts them (SQuAD's F1)."""

from __future__ import annotations

import string
from collections import Counter

from services.protocols.cases import Scoring
from services.protocols.plain_text.scorers.nouns import Scorer
from services.protocols.plain_text.scorers.words import f_measure

_NO_MARKS = str.maketrans("", "", string.punctuation)
_ARTICLES = frozenset(("a", "an", "the"))


def score(answer: str, scoring: Scoring) -> float:
    """Return the best F-measure over the words of the answer and of a target, each word counted as often as it is."""
    return max(_f1(_words(answer), _words(target)) for target in scoring.targets)


def _words(text: str) -> list[str]:
    return [word for word in text.lower().translate(_NO_MARKS).split() if word not in _ARTICLES]


def _f1(answer: list[str], target: list[str]) -> float:
    common = (Counter(answer) & Counter(target)).total()
    return f_measure(common, len(answer), len(target))


F1 = Scorer(score)
