"""Draws words and pieces of code from one of two stocks, by a seed."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from random import Random
from types import MappingProxyType
from typing import Literal, TypeVar

T = TypeVar("T")

StockName = Literal["suite", "pool"]
Split = Literal["train", "validation", "probe"]

SLOT = re.compile(r"\{([A-Za-z_]+[0-9]?)\}")


@dataclass(frozen=True, slots=True)
class Stock:
    """Words, wordings and pieces of code of one side: the suites', or the pool's.

    Attributes:
        words: word lists by name; a word may hold slots that are filled from other lists.
        wordings: wordings of tasks by group and name.
        pieces: pieces of code by kind, such as `snippets`.
    """

    words: Mapping[str, Sequence[str]]
    wordings: Mapping[str, Mapping[str, Sequence[str]]]
    pieces: Mapping[str, Sequence[Mapping[str, object]]]


@cache
def load_stock(package: str, name: StockName) -> Stock:
    """Return the stock in `suite.toml` or `pool.toml` of a package."""
    document = tomllib.loads(files(package).joinpath(f"{name}.toml").read_text(encoding="utf-8"))
    words, raw = document.pop("words"), document.pop("wordings")
    wordings = {
        group: {key: _spelt_out(raw, entry) for key, entry in entries.items()} for group, entries in raw.items()
    }
    return Stock(MappingProxyType(words), MappingProxyType(wordings), MappingProxyType(document))


def _spelt_out(wordings: Mapping[str, Mapping[str, Sequence[str]]], entry: Sequence[str]) -> list[str]:
    """Return the wordings of an entry; `@group.name` stands for those of another."""
    spelt: dict[str, None] = {}
    for wording in entry:
        group, _, key = wording.removeprefix("@").partition(".")
        further = _spelt_out(wordings, wordings[group][key]) if wording.startswith("@") else [wording]
        spelt.update(dict.fromkeys(further))
    return list(spelt)


class Draw:
    """One scenario's worth of random choices from a stock."""

    def __init__(self, stock: Stock, seed: str, *, has_more: bool = False) -> None:
        """Draw from `stock`, with `has_more` from its pieces of the kind `more_x` where pieces `x` are drawn too."""
        self.stock, self._has_more = stock, has_more
        self.random = Random(seed)

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of `choices`."""
        return self.random.choice(choices)

    def number(self, first: int = 2, last: int = 96) -> int:
        """Return a number from `first` to `last`."""
        return self.random.randrange(first, last + 1)

    def word(self, name: str) -> str:
        """Return a word of the list `name`, its own slots filled."""
        return self.sentence(name)

    def sentence(self, name: str, **slots: object) -> str:
        """Return a word of the list `name`, its slots filled with `slots`, the others from their lists."""
        text = self.pick(self.stock.words[name])
        if "{" not in text:
            return text
        return SLOT.sub(lambda slot: str(slots[slot[1]]) if slot[1] in slots else self._filled(slot), text)

    def several(self, name: str, count: int) -> list[str]:
        """Return `count` different words of the list `name`."""
        words: dict[str, None] = {}
        while len(words) < count:
            words[self.word(name)] = None
        return list(words)

    def piece(self, kind: str) -> dict[str, str]:
        """Return a piece of code of that kind, equal slots filled equally; lines are joined.

        A piece with a `row` gets up to five such lines before its text, so that no place in it is the usual one.
        """
        more = self.stock.pieces.get(f"more_{kind}", ()) if self._has_more else ()
        raw = {
            key: "\n".join(map(str, value)) if isinstance(value, list) else str(value)
            for key, value in self.pick([*self.stock.pieces[kind], *more]).items()
        }
        words: dict[str, str] = {}
        piece = {key: SLOT.sub(lambda slot: self._filled(slot, words), text) for key, text in raw.items()}
        if piece.pop("row", ""):
            rows = dict.fromkeys(SLOT.sub(self._filled, raw["row"]) for _ in range(self.number(0, 5)))
            piece["text"] = "\n".join((*rows, piece["text"]))
        return piece

    def _filled(self, slot: re.Match[str], words: dict[str, str] | None = None) -> str:
        """Return what stands in a slot: a word of its list in the slot's case, which `words` keeps for equal slots."""
        name, base = slot[1], slot[1].lower()
        if base not in self.stock.words and base != "number":
            return slot[0]
        words = {} if words is None else words
        if base not in words:
            words[base] = self.word(base) if base in self.stock.words else str(self.number())
        word = words[base]
        if name.isupper():
            return word.upper()
        return word[:1].upper() + word[1:] if name[0].isupper() else word
