"""`sacrebleu`: sentence BLEU as sacreBLEU computes it, against all targets at once, divided by 100."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from services.protocols.cases import CaseError, Scoring
from services.protocols.plain_text.scorers.nouns import Scorer

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU

_TOKENIZERS = ("13a", "intl", "char", "none")


def score(answer: str, scoring: Scoring) -> float:
    """Return BLEU of the answer, 0 to 1."""
    metric = _metric(str(scoring.options.get("tokenize", "13a")), bool(scoring.options.get("ignore_case")))
    return min(1.0, float(metric.sentence_score(answer, list(scoring.targets)).score) / 100)


@lru_cache(maxsize=8)
def _metric(tokenize: str, ignores_case: bool) -> BLEU:
    # Costs half a second, which those who never ask for it need not wait for.
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(tokenize=tokenize, lowercase=ignores_case, effective_order=True)


def check(scoring: Scoring) -> None:
    """Refuse a tokenizer that is unknown, or that would have to be fetched."""
    if scoring.options.get("tokenize", "13a") not in _TOKENIZERS:
        raise CaseError("scoring.options.tokenize", f"must be one of {', '.join(_TOKENIZERS)}")


SACREBLEU = Scorer(score, {"tokenize": str, "ignore_case": bool}, check=check)
