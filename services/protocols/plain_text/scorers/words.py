"""Words of a text, and the score of two texts' common part."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W_]+")


def words_of(text: str) -> list[str]:
    """Return the runs of letters and digits in lower case."""
    return _WORD.findall(text.lower())


def f_measure(num_common: int, num_answer: int, num_target: int) -> float:
    """Return the harmonic mean of precision and recall, 0 to 1; 1 where neither side has a word."""
    if not num_answer or not num_target:
        return float(num_answer == num_target)
    return 2 * num_common / (num_answer + num_target)
