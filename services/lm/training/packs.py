"""Sequences packed behind the prefix that all of them share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch
from torch import Tensor

from services.lm.errors import LimitExceeded
from services.lm.prefix import Layout
from services.lm.training.sequence import TrainedSequence


@dataclass(frozen=True)
class Pack:
    """`[prefix][sequence 1][sequence 2]…` in one row.

    Attributes:
        places: Of the sequences, in the step's list.
        input_ids: Shape (1, length).
        position_ids: Shape (1, length); they restart after the prefix for each sequence.
        layout: Where the prefix ends and each sequence lies.
        predicting: Positions whose next token is trained, shape (trained,), sequence by sequence.
        labels: Those next tokens, shape (trained,).
    """

    places: tuple[int, ...]
    input_ids: Tensor
    position_ids: Tensor
    layout: Layout
    predicting: Tensor
    labels: Tensor


def packs_of(
    sequences: Sequence[TrainedSequence], units: Sequence[Sequence[int]], *, max_tokens: int
) -> Iterator[Pack]:
    """The units, in order, in as few packs of at most `max_tokens` as that order allows.

    Raises:
        LimitExceeded: One unit alone is longer than `max_tokens`.
    """
    prefix = common_prefix_length(sequences)
    members: list[int] = []
    used = prefix
    for unit in units:
        own = sum(len(sequences[place].ids) - prefix for place in unit)
        if prefix + own > max_tokens:
            raise _too_long(sequences, unit, prefix + own, max_tokens)
        if used + own > max_tokens:
            yield joined(sequences, members, prefix)
            members, used = [], prefix
        members += unit
        used += own
    if members:
        yield joined(sequences, members, prefix)


def common_prefix_length(sequences: Sequence[TrainedSequence]) -> int:
    """Tokens that all begin with, at most so many that each keeps its first predicting token to itself."""
    if not sequences:
        return 0
    first, last = min(each.ids for each in sequences), max(each.ids for each in sequences)
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
    own = min(each.spans[0][0] if each.spans else len(each.ids) for each in sequences) - 1
    return min(shared, own)


def joined(sequences: Sequence[TrainedSequence], places: Sequence[int], prefix: int) -> Pack:
    """One pack of the sequences at `places`, whose first `prefix` tokens are the same."""
    ids = list(sequences[places[0]].ids[:prefix])
    positions = list(range(prefix))
    parts: list[tuple[int, int]] = []
    predicting: list[int] = []
    labels: list[int] = []
    for place in places:
        sequence = sequences[place]
        start, shift = len(ids), len(ids) - prefix
        ids += sequence.ids[prefix:]
        positions += range(prefix, len(sequence.ids))
        parts.append((start, len(ids)))
        predicting += (trained - 1 + shift for trained in sequence.trained_places())
        labels += (sequence.ids[trained] for trained in sequence.trained_places())
    return Pack(
        places=tuple(places),
        input_ids=torch.tensor([ids]),
        position_ids=torch.tensor([positions]),
        layout=Layout(prefix, tuple(parts)),
        predicting=torch.tensor(predicting, dtype=torch.long),
        labels=torch.tensor(labels, dtype=torch.long),
    )


def _too_long(sequences: Sequence[TrainedSequence], unit: Sequence[int], tokens: int, limit: int) -> LimitExceeded:
    if len(unit) == 1:
        problem = f"A sequence has {len(sequences[unit[0]].ids)} tokens, the limit is {limit}."
        return LimitExceeded(problem, "Drop it or allow more tokens at once.", f"sequence {unit[0]}")
    problem = f"{len(unit)} sequences that belong together have {tokens} tokens, the limit is {limit}."
    return LimitExceeded(problem, "Drop them or allow more tokens at once.", f"sequences {min(unit)} to {max(unit)}")
