"""Dividing prompts into groups that share long prefixes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile

_MIN_PREFIX = 16
_MAX_DEPTH = 8


@dataclass(frozen=True)
class Group:
    """Indices of prompts whose first `prefix_length` tokens are the same; each has at least one token more."""

    indices: tuple[int, ...]
    prefix_length: int

    @property
    def saved(self) -> int:
        """Tokens that needn't be computed again."""
        return (len(self.indices) - 1) * self.prefix_length


def group_prompts(prompts: Sequence[Sequence[int]]) -> list[Group]:
    """The prompts in groups such that computing each group's prefix once saves the most; larger groups first.

    Prompts that share less than a few tokens are one group without a prefix.
    """
    if not prompts:
        return []
    groups = _divide(prompts, tuple(range(len(prompts))), 0)
    alone = [group for group in groups if group.saved == 0]
    shared = [group for group in groups if group.saved > 0]
    rest = tuple(sorted(index for group in alone for index in group.indices))
    merged = [Group(rest, 0)] if rest else []
    return sorted(shared, key=lambda group: -len(group.indices)) + merged


def _divide(prompts: Sequence[Sequence[int]], indices: tuple[int, ...], depth: int) -> list[Group]:
    whole = Group(indices, _common(prompts, indices))
    if len(indices) < 3 or depth == _MAX_DEPTH:
        return [whole]

    def next_token(index: int) -> int:
        return prompts[index][whole.prefix_length]

    parts = [
        group
        for _, members in groupby(sorted(indices, key=lambda index: (next_token(index), index)), key=next_token)
        for group in _divide(prompts, tuple(members), depth + 1)
    ]
    return parts if sum(part.saved for part in parts) > whole.saved else [whole]


def _common(prompts: Sequence[Sequence[int]], indices: tuple[int, ...]) -> int:
    chosen = [tuple(prompts[index]) for index in indices]
    first, last = min(chosen), max(chosen)
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
    shared = min(shared, min(len(prompt) for prompt in chosen) - 1)
    return shared if shared >= _MIN_PREFIX and len(indices) > 1 else 0
