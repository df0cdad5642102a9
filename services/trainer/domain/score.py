"""The score by which checkpoints are compared: how often the model obeys the protocol on the validation split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SCORE: Final = "adherence"


def best_step(scores: Mapping[int, float]) -> int:
    """Return the first step with the highest score; 0 where none was measured."""
    return min(scores, key=lambda step: (-scores[step], step), default=0)
