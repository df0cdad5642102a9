"""Draws words and wordings from one of the two stocks, by a seed."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from random import Random
from types import MappingProxyType
from typing import TypeVar

T = TypeVar("T")

SLOT = re.compile(r"\{([A-Za-z_]+[0-9]?)\}")

Snippet = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Stock:
    """Words, wordings and pieces of code of one side: the suites', or the pool's.

    Attributes:
        words: word lists by name; a word may hold slots filled from other lists.
        wordings: task wordings by tool and skill.
        pieces: pieces of code by kind (`snippets`, `texts`, `contents`, `notes`, `singles`).
    """

    words: Mapping[str, Sequence[str]]
    wordings: Mapping[str, Mapping[str, Sequence[str]]]
    pieces: Mapping[str, Sequence[Mapping[str, object]]]


@cache
def load_stock(name: str) -> Stock:
    """Return the stock `suite` or `pool`."""
    document = tomllib.loads(files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8"))
    kinds = ("snippets", "texts", "contents", "notes", "singles")
    pieces = {kind: tuple(document[kind]) for kind in kinds}
    return Stock(MappingProxyType(document["words"]), MappingProxyType(document["wordings"]), MappingProxyType(pieces))


class Draw:
    """One case's worth of random choices from a stock."""

    def __init__(self, stock: Stock, seed: str) -> None:
        self.stock = stock
        self.random = Random(seed)
        self._fixed: dict[str, str] = {}

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of `choices`."""
        return choices[self.random.randrange(len(choices))]

    def number(self, first: int = 2, last: int = 96) -> int:
        """Return a number from `first` to `last`."""
        return self.random.randrange(first, last + 1)

    def word(self, name: str) -> str:
        """Return a word of the list `name`, its own slots filled."""
        return self.fill(self.pick(self.stock.words[name]), self._slot)

    def several(self, name: str, count: int) -> list[str]:
        """Return `count` different words of the list `name`."""
        found: dict[str, None] = {}
        while len(found) < count:
            found[self.word(name)] = None
        return list(found)

    def piece(self, kind: str) -> dict[str, str]:
        """Return a piece of code of that kind, equal slots filled equally; lines are joined.

        A piece with a `row` gets up to five such lines before its text, so that no place in it is the usual one.
        """
        raw = self.pick(self.stock.pieces[kind])
        self._fixed = {}
        piece = {}
        for key, value in raw.items():
            text = value if isinstance(value, str) else "\n".join(map(str, value if isinstance(value, list) else []))
            piece[key] = self.fill(text, self._same_slot)
        if piece.pop("row", ""):
            rows = dict.fromkeys(self.fill(str(raw["row"]), self._slot) for _ in range(self.number(0, 5)))
            piece["text"] = "\n".join((*rows, piece["text"]))
        return piece

    @staticmethod
    def fill(text: str, value_of: Callable[[str], str | None]) -> str:
        """Return `text` with each slot that `value_of` knows replaced."""

        def replace(found: re.Match[str]) -> str:
            value = value_of(found[1])
            return found[0] if value is None else value

        return SLOT.sub(replace, text)

    def _slot(self, name: str) -> str | None:
        if name == "number":
            return str(self.number())
        base = name.lower()
        if base not in self.stock.words:
            return None
        word = self.word(base)
        if name.isupper():
            return word.upper()
        return word[:1].upper() + word[1:] if name[0].isupper() else word

    def _same_slot(self, name: str) -> str | None:
        """Fill like `_slot`, one word per list for the whole piece."""
        base = name.lower()
        if base not in self._fixed:
            value = self._slot(base)
            if value is None:
                return None
            self._fixed[base] = value
        word = self._fixed[base]
        if name.isupper() and len(name) > 1:
            return word.upper()
        return word[:1].upper() + word[1:] if name[0].isupper() else word
