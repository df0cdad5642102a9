"""Scorers that count what answer and target have in common: `f1`, `rouge_l`, `sacrebleu`."""

from __future__ import annotations

import re
import string
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING

from rapidfuzz.distance import LCSseq

from services.protocols.cases import CaseError, Scoring
from services.protocols.plain_text.scorers.scorer import Scorer

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU

_NO_MARKS = str.maketrans("", "", string.punctuation)
_ARTICLES = frozenset(("a", "an", "the"))
_WORD = re.compile(r"[^\W_]+")
_TOKENIZERS = ("13a", "intl", "char", "none")


def _f_measure(num_common: int, num_answer: int, num_target: int) -> float:
    """Return the harmonic mean of precision and recall, 0 to 1; 1 where neither side has a word."""
    if not num_answer or not num_target:
        return float(num_answer == num_target)
    return 2 * num_common / (num_answer + num_target)


def _f1(answer: str, scoring: Scoring) -> float:
    """Return the best F-measure over the words in common, each counted as often as it is (SQuAD's F1)."""

    def words(text: str) -> list[str]:
        return [word for word in text.lower().translate(_NO_MARKS).split() if word not in _ARTICLES]

    said = words(answer)
    pairs = ((words(target), (Counter(said) & Counter(words(target))).total()) for target in scoring.targets)
    return max(_f_measure(num_common, len(said), len(target)) for target, num_common in pairs)


def _rouge_l(answer: str, scoring: Scoring) -> float:
    """Return the best F-measure over the longest common subsequence of words (Lin 2004), without stemming."""
    said = _WORD.findall(answer.lower())
    targets = [_WORD.findall(target.lower()) for target in scoring.targets]
    return max(_f_measure(LCSseq.similarity(said, target), len(said), len(target)) for target in targets)


def _bleu(answer: str, scoring: Scoring) -> float:
    """Return sentence BLEU as sacreBLEU computes it, against all targets at once, divided by 100."""
    metric = _bleu_metric(str(scoring.options.get("tokenize", "13a")), bool(scoring.options.get("ignore_case")))
    return min(1.0, float(metric.sentence_score(answer, list(scoring.targets)).score) / 100)


@lru_cache(maxsize=8)
def _bleu_metric(tokenize: str, ignores_case: bool) -> BLEU:
    # Costs half a second, which those who never ask for it need not wait for.
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(tokenize=tokenize, lowercase=ignores_case, effective_order=True)


def _check_tokenizer(scoring: Scoring) -> None:
    if scoring.options.get("tokenize", "13a") not in _TOKENIZERS:
        raise CaseError("scoring.options.tokenize", f"must be one of {', '.join(_TOKENIZERS)}")


F1 = Scorer(_f1)
ROUGE_L = Scorer(_rouge_l)
SACREBLEU = Scorer(_bleu, {"tokenize": str, "ignore_case": bool}, check=_check_tokenizer)
