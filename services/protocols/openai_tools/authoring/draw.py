"""Draws words and wordings from one of the two stocks, by a seed."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from random import Random
from typing import TypeVar

T = TypeVar("T")

SLOT = re.compile(r"\{([a-z_0-9]+)\}")


@dataclass(frozen=True, slots=True)
class Stock:
    """Word lists by name, and wordings by tool and skill, of one side: the suites', or the pool's."""

    words: Mapping[str, Sequence[str]]
    wordings: Mapping[str, Mapping[str, Sequence[str]]]


@cache
def load_stock(name: str) -> Stock:
    """Return the stock `suite` or `pool`."""
    document = tomllib.loads(files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8"))
    return Stock(document["words"], document["wordings"])


class Draw:
    """One case's worth of random choices from a stock."""

    def __init__(self, stock: Stock, seed: str) -> None:
        self.stock = stock
        self.random = Random(seed)

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of `choices`."""
        return choices[self.random.randrange(len(choices))]

    def word(self, name: str) -> str:
        """Return a word of the list `name`, its slots filled."""
        return SLOT.sub(lambda slot: self.word(slot[1]), self.pick(self.stock.words[name]))

    def two(self, name: str) -> tuple[str, str]:
        """Return two different words of the list `name`."""
        first = second = self.word(name)
        while second == first:
            second = self.word(name)
        return first, second

    def number(self, name: str) -> int | float:
        """Return a number of the list `name`."""
        text = self.word(name)
        return float(text) if "." in text else int(text)

    def date(self) -> str:
        """Return a day of one of the stock's years."""
        return f"{self.word('year')}-{self.random.randrange(1, 13):02}-{self.random.randrange(1, 29):02}"

    def time(self) -> str:
        """Return a time of day."""
        return f"{self.random.randrange(7, 22):02}:{self.random.randrange(0, 60, 5):02}"
