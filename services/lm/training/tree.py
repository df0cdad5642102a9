"""A step's sequences as a tree: what many begin with is a trunk, computed once; the rest are rows behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from services.lm.errors import LimitExceeded
from services.lm.prefix import Layout, PackedTokens, Segment
from services.lm.training.sequence import TrainedSequence

Unit = Sequence[int]

# Fewer tokens are computed again in each row rather than by themselves.
_LEAST_TRUNK = 64


@dataclass(frozen=True)
class Row:
    """Tokens to be computed at once.

    Attributes:
        tokens: As the decoder takes them.
        shares: By a sequence's place, which of the row's labels are its own, in order.
    """

    tokens: PackedTokens
    shares: dict[int, list[int]]


@dataclass(frozen=True)
class Trunk:
    """A row of one segment that all below see, and the rows and trunks behind it."""

    row: Row
    branches: tuple[Trunk | Row, ...]


class Planner:
    """Cuts sequences into trunks and rows, so that little is computed twice and few tokens are held at once."""

    def __init__(self, sequences: Sequence[TrainedSequence], *, max_tokens: int, row_tokens: tuple[int, int]) -> None:
        """At most `max_tokens` are held: a row and the trunks before it.

        A row of several units has at most `row_tokens`: of the two, the second behind a trunk.
        """
        self._sequences = sequences
        self._max_tokens, self._row_tokens = max_tokens, row_tokens
        self._lengths: dict[tuple[int, int], int] = {}

    def planned(self, units: Sequence[Unit]) -> tuple[Trunk | Row, ...]:
        """All of the units' sequences; a unit's are all behind the same trunks and in the same row.

        Raises:
            LimitExceeded: A unit needs more than `max_tokens`; it is named.
        """
        ordered = sorted((self._sorted(unit) for unit in units), key=lambda unit: self._sequences[unit[0]].ids)
        return tuple(self._branches(ordered, 0, 0))

    def _branches(self, units: Sequence[Unit], depth: int, level: int) -> Iterator[Trunk | Row]:
        """What is to be computed behind the first `depth` tokens; all sequences begin with the same `level` ones."""
        waiting: list[Unit] = []
        used = 0
        for family in self._families(units, level):
            size = self._size(family, depth)
            if size > self._room(depth):
                yield from self._large(family, depth, level)
                continue
            # What the families begin with is in a row once.
            if waiting and used + size - (level - depth) > self._room(depth):
                yield self._row(waiting, depth)
                waiting, used = [], 0
            used += size - (level - depth if waiting else 0)
            waiting += family
        if waiting:
            yield self._row(waiting, depth)

    def _large(self, family: Sequence[Unit], depth: int, level: int) -> Iterator[Trunk | Row]:
        """Units that are too many for one row."""
        if len(family) == 1:
            yield self._alone(family[0], depth)
            return
        common = self._common(family)
        if common - depth >= _LEAST_TRUNK:
            trunk = self._row(family, depth, common)
            yield Trunk(trunk, tuple(self._branches(family, common, common)))
        elif common > level:
            yield from self._branches(family, depth, common)
        else:
            yield from (self._alone(unit, depth) for unit in family)

    def _families(self, units: Sequence[Unit], level: int) -> list[list[Unit]]:
        """The units by the token at `level`; a unit whose sequences part before is one by itself."""
        families: dict[object, list[Unit]] = {}
        for unit in units:
            beginnings = {self._sequences[place].ids[: level + 1] for place in (unit[0], unit[-1])}
            families.setdefault(unit[0] if len(beginnings) > 1 else beginnings.pop(), []).append(unit)
        return list(families.values())

    def _alone(self, unit: Unit, depth: int) -> Row:
        size = depth + self._size([unit], depth)
        if size <= self._max_tokens:
            return self._row([unit], depth)
        if len(unit) == 1:
            problem = f"A sequence has {size} tokens, the limit is {self._max_tokens}."
            raise LimitExceeded(problem, "Drop it or allow more tokens at once.", f"sequence {unit[0]}")
        problem = f"{len(unit)} sequences that belong together have {size} tokens, the limit is {self._max_tokens}."
        place = f"sequences {min(unit)} to {max(unit)}"
        raise LimitExceeded(problem, "Drop them or allow more tokens at once.", place)

    def _room(self, depth: int) -> int:
        return min(self._row_tokens[depth > 0], self._max_tokens - depth)

    def _row(self, units: Sequence[Unit], depth: int, end: int | None = None) -> Row:
        return _RowBuilder(depth, end).built(self._sequences, self._sorted(place for unit in units for place in unit))

    def _size(self, units: Sequence[Unit], depth: int) -> int:
        """Tokens to compute behind `depth`."""
        places = self._sorted(place for unit in units for place in unit)
        again = sum(max(depth, self._shared(*pair)) for pair in pairwise(places))
        return sum(len(self._sequences[place].ids) for place in places) - again - depth

    def _common(self, units: Sequence[Unit]) -> int:
        """Tokens that all begin with; each sequence has one more."""
        places = self._sorted(place for unit in units for place in unit)
        shortest = min(len(self._sequences[place].ids) for place in places)
        return min(self._shared(places[0], places[-1]), shortest - 1)

    def _sorted(self, places: Iterator[int] | Unit) -> list[int]:
        return sorted(places, key=lambda place: self._sequences[place].ids)

    def _shared(self, one: int, other: int) -> int:
        if (one, other) not in self._lengths:
            self._lengths[one, other] = num_shared(self._sequences[one].ids, self._sequences[other].ids)
        return self._lengths[one, other]


class _RowBuilder:
    """Writes sequences, in the order of their tokens, one behind the other without what they share."""

    def __init__(self, depth: int, end: int | None) -> None:
        """Take the tokens from `depth` to `end` of each."""
        self._depth, self._end = depth, end
        self._ids: list[int] = []
        self._positions: list[int] = []
        self._segments: list[Segment] = []
        # By position behind `depth`, where the sequence written last has its token.
        self._path: list[int] = []
        self._labels: dict[tuple[int, int], int] = {}

    def built(self, sequences: Sequence[TrainedSequence], places: Sequence[int]) -> Row:
        shares: dict[int, list[int]] = {}
        before: tuple[int, ...] = ()
        for place in places:
            self._write(sequences[place].ids[: self._end], before)
            before = sequences[place].ids[: self._end]
            shares[place] = self._share(sequences[place])
        predicting, labels = zip(*self._labels, strict=True) if self._labels else ((), ())
        tokens = PackedTokens(
            torch.tensor(self._ids),
            torch.tensor(self._positions),
            Layout(self._depth, tuple(self._segments)),
            torch.tensor(predicting, dtype=torch.long),
            torch.tensor(labels, dtype=torch.long),
        )
        return Row(tokens, shares)

    def _write(self, ids: tuple[int, ...], before: tuple[int, ...]) -> None:
        same = max(self._depth, num_shared(before, ids))
        start = len(self._ids)
        self._ids += ids[same:]
        self._positions += range(same, len(ids))
        del self._path[same - self._depth :]
        self._path += range(start, len(self._ids))
        if len(ids) > same:
            self._segments.append(Segment(start, len(self._ids), same))

    def _share(self, sequence: TrainedSequence) -> list[int]:
        end = self._depth + len(self._path)
        return [
            self._labels.setdefault((self._path[place - 1 - self._depth], sequence.ids[place]), len(self._labels))
            for place in sequence.trained_places()
            if self._depth < place <= end
        ]


def num_shared(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """How many tokens both begin with."""
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low
