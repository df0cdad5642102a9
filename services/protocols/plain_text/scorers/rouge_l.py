"""`rouge_l`: the longest common subsequence of words, as an F-measure (Lin 2004), without stemming."""

from __future__ import annotations

from rapidfuzz.distance import LCSseq

from services.protocols.cases import Scoring
from services.protocols.plain_text.scorers.nouns import Scorer
from services.protocols.plain_text.scorers.words import f_measure, words_of


def score(answer: str, scoring: Scoring) -> float:
    """Return the best ROUGE-L F-measure of the answer and a target."""
    return max(_rouge_l(words_of(answer), words_of(target)) for target in scoring.targets)


def _rouge_l(answer: list[str], target: list[str]) -> float:
    return f_measure(LCSseq.similarity(answer, target), len(answer), len(target))


ROUGE_L = Scorer(score)
