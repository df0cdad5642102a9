"""Guessing the next tokens by looking up what followed the last ones before: answers repeat paths and file text."""

from collections.abc import Mapping, Sequence
from typing import Final

# The last tokens that are looked up, more before fewer.
_LENGTHS: Final = (3, 2)
_MAX_DRAFT: Final = 8
# Rows of one pass up to which guesses are worth their time: more than half of them are right (61 answers of a tuned
# model took 191 passes without guesses, 99 with up to 64 rows, 77 with 128, 70 with 256, at more cost).
_CHEAP_ROWS: Final = 128

# Where runs of tokens end that were seen, the last place of each.
Ends = Mapping[tuple[int, ...], int]


def draft_length(num_sequences: int) -> int:
    """How many guesses each of so many sequences may add to a pass."""
    return min(_MAX_DRAFT, _CHEAP_ROWS // num_sequences - 1) if num_sequences <= _CHEAP_ROWS // 2 else 0


def run_ends(tokens: Sequence[int], start: int, end: int) -> dict[tuple[int, ...], int]:
    """The runs that end at the places `start … end - 1`."""
    return {
        tuple(tokens[place - length : place]): place
        for place in range(start, end)
        for length in _LENGTHS
        if place >= length
    }


class Lookup:
    """The tokens of one sequence, and where each run of a few was seen last."""

    def __init__(self, tokens: Sequence[int], known: Ends | None = None, num_known: int = 0) -> None:
        """Begin with the prompt; `known` are the runs within its first `num_known` tokens, which others share."""
        self._tokens = list(tokens)
        self._known: Ends = known or {}
        self._ends: dict[tuple[int, ...], int] = {}
        self._indexed = num_known

    def add(self, token: int) -> None:
        """A token was written."""
        self._tokens.append(token)

    def draft(self, count: int) -> list[int]:
        """Up to `count` tokens that followed the last time these were the last ones; none if they are new."""
        # The last runs are not indexed yet, so that they do not find themselves.
        self._ends |= run_ends(self._tokens, self._indexed, len(self._tokens))
        self._indexed = len(self._tokens)
        for length in _LENGTHS:
            last = tuple(self._tokens[-length:])
            place = self._ends.get(last, self._known.get(last))
            if place is not None:
                return self._tokens[place : place + count]
        return []
