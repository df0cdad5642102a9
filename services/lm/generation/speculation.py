"""Guessing the next tokens by looking up what followed the last ones before: answers repeat paths and file text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_LENGTH: Final = 3
_MAX_DRAFT: Final = 8
# Rows of one pass up to which a further row costs little (measured: 16 rows take 1.4 times as long as one).
_CHEAP_ROWS: Final = 16


def draft_length(num_sequences: int) -> int:
    """How many guesses each of so many sequences may add to a pass."""
    return min(_MAX_DRAFT, _CHEAP_ROWS // num_sequences - 1) if num_sequences <= _CHEAP_ROWS // 2 else 0


class Lookup:
    """The tokens of one sequence, and where each run of a few was seen last."""

    def __init__(self, tokens: Sequence[int]) -> None:
        """Begin with the prompt; it is indexed at the first guess, which many sequences never need."""
        self._tokens = list(tokens)
        self._ends: dict[tuple[int, ...], int] = {}
        self._indexed = _LENGTH

    def add(self, token: int) -> None:
        """A token was written."""
        self._tokens.append(token)

    def draft(self, count: int) -> list[int]:
        """Up to `count` tokens that followed the last time these were the last ones; none if they are new."""
        # The last run is not indexed yet, so that it does not find itself.
        for end in range(self._indexed, len(self._tokens)):
            self._ends[tuple(self._tokens[end - _LENGTH : end])] = end
        self._indexed = max(self._indexed, len(self._tokens))
        place = self._ends.get(tuple(self._tokens[-_LENGTH:]))
        return [] if place is None else self._tokens[place : place + count]
