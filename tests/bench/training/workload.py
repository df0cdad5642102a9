"""What is trained: rows of random tokens, whose values don't change the time, behind a shared beginning or alone."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import Any, Final

FIRST_TOKEN: Final = 3  # The ones before it are special.
QUESTION: Final = 20
GROUP: Final = 8

Row = dict[str, Any]


@dataclass(frozen=True)
class Work:
    """The rows of a step.

    Attributes:
        method: "sft", "dpo" or "grpo".
        rows: In the form that both sides read.
        sequences: The token ids that these come to, for counting.
    """

    method: str
    rows: tuple[Row, ...]

    def first(self, count: int) -> Work:
        """Its first rows."""
        return Work(self.method, self.rows[:count])

    @property
    def rho(self) -> float:
        """Raw tokens by those that are left when what rows begin with is counted once."""
        sequences = sorted(_sequences(self.rows))
        raw = sum(map(len, sequences))
        shared = sum(_num_shared(one, other) for one, other in pairwise(sequences))
        return raw / (raw - shared)


class Drawing:
    """Draws rows, equal ones for equal seeds."""

    def __init__(self, vocabulary: int, *, prefix: int, own: int, seed: int = 0) -> None:
        """Rows have `prefix` tokens in common and `own` ones behind them, of which a question is not trained."""
        self._source, self._vocabulary, self._own = random.Random(seed), vocabulary, own
        self._length = prefix
        self._prefix = self._tokens(prefix)

    def examples(self, count: int, *, shares: bool = True) -> Work:
        """Rows for SFT; those that share nothing have as many tokens."""
        rows = [
            {"ids": self._begin(shares) + self._tokens(self._own), "trained_from": self._length + QUESTION}
            for _ in range(count)
        ]
        return Work("sft", tuple(rows))

    def pairs(self, count: int) -> Work:
        """Rows for DPO: a prompt with two answers."""
        answer = self._own - QUESTION
        names = ("chosen_ids", "rejected_ids")
        rows = [
            {"prompt_ids": self._begin() + self._tokens(QUESTION)} | {name: self._tokens(answer) for name in names}
            for _ in range(count)
        ]
        return Work("dpo", tuple(rows))

    def rollouts(self, num_prompts: int, *, length: int) -> Work:
        """Rows for GRPO: a group of answers to each prompt, with rewards that differ within it."""
        rows: list[Row] = []
        for _ in range(num_prompts):
            prompt = self._begin() + self._tokens(QUESTION)
            rewards = [self._source.randrange(4) / 3 for _ in range(GROUP - 2)]
            rows += [
                {"prompt_ids": prompt, "completion_ids": self._tokens(length), "reward": reward}
                for reward in (0.0, 1.0, *rewards)
            ]
        return Work("grpo", tuple(rows))

    def _begin(self, shares: bool = True) -> list[int]:
        return self._prefix if shares else self._tokens(self._length)

    def _tokens(self, count: int) -> list[int]:
        return [self._source.randrange(FIRST_TOKEN, self._vocabulary) for _ in range(count)]


def _sequences(rows: Iterable[Row]) -> Iterable[list[int]]:
    for row in rows:
        if "ids" in row:
            yield row["ids"]
        for answer in ("chosen_ids", "rejected_ids", "completion_ids"):
            if answer in row:
                yield row["prompt_ids"] + row[answer]


def _num_shared(one: list[int], other: list[int]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
