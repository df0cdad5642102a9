"""Dividing prompts into groups that share long beginnings, and beginnings into segments."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile
from typing import Final

_MIN_PREFIX: Final = 16
_MAX_DEPTH: Final = 8
_MAX_DEEPER: Final = 4
# A segment ends with a turn, unless it would be very short, and at this length, which keeps products large.
_SHORTEST: Final = 64
_LONGEST: Final = 512


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


def by_length(lengths: Mapping[int, int], room: int, most: int) -> list[tuple[int, ...]]:
    """The keys divided such that `most` of a part, or all of it, have room at the length of its longest, if they can.

    Each of `lengths` is at most `room`. Keys keep their order.
    """
    parts: list[set[int]] = [set()]
    for key in sorted(lengths, key=lambda key: lengths[key]):
        if min(len(parts[-1]) + 1, most) * lengths[key] > room:
            parts.append(set())
        parts[-1].add(key)
    return [tuple(key for key in lengths if key in part) for part in parts]


def deeper_ends(prompts: Sequence[Sequence[int]], start: int, depth: int = _MAX_DEEPER) -> list[tuple[int, ...]]:
    """For each prompt, the ends of what it shares with some of the others behind the first `start` tokens of all."""
    ends: list[tuple[int, ...]] = [()] * len(prompts)
    if not depth:
        return ends
    for group in group_prompts([prompt[start:] for prompt in prompts]):
        if group.prefix_length:
            end = start + group.prefix_length
            deeper = deeper_ends([prompts[index] for index in group.indices], end, depth - 1)
            for index, further in zip(group.indices, deeper, strict=True):
                ends[index] = (end, *further)
    return ends


def turn_ends(ids: Sequence[int], closing: Collection[int], limit: int, start: int = 0) -> list[int]:
    """Where the segments of a prompt end, up to `limit`: a function of the tokens before each end alone.

    So a conversation's next prompt, which begins like this one, is divided at the same places. `closing` are the
    tokens that end a turn; `start` is an end already found.
    """
    ends = []
    for place in range(start, limit):
        length = place + 1 - start
        if length == _LONGEST or (length >= _SHORTEST and ids[place] in closing):
            start = place + 1
            ends.append(start)
    return ends


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


def common_length(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all of the prompts begin with."""
    if not prompts:
        return 0
    members = [tuple(prompt) for prompt in prompts]
    first, last = min(members), max(members)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))


def _common(prompts: Sequence[Sequence[int]], indices: tuple[int, ...]) -> int:
    members = [tuple(prompts[index]) for index in indices]
    shared = min(common_length(members), min(len(prompt) for prompt in members) - 1)
    return shared if shared >= _MIN_PREFIX and len(indices) > 1 else 0
