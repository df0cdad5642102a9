"""Documents and sentences that scenarios draw."""

from __future__ import annotations

import json
from dataclasses import dataclass

from services.protocols.openai_tools.authoring.draw import SLOT, Draw


@dataclass(frozen=True, slots=True)
class Listing:
    """A document of lines `item: number`, each item once.

    Attributes:
        place: number of the line, from 0, that a task is about.
        new: another number for that line.
    """

    name: str
    items: tuple[str, ...]
    numbers: tuple[int, ...]
    place: int
    new: int

    @property
    def lines(self) -> list[str]:
        """All lines."""
        return [f"{item}: {number}" for item, number in zip(self.items, self.numbers, strict=True)]

    @property
    def text(self) -> str:
        """The whole document."""
        return "\n".join(self.lines)

    @property
    def item(self) -> str:
        """The item that the task is about."""
        return self.items[self.place]

    @property
    def old(self) -> int:
        """The number that it has."""
        return self.numbers[self.place]

    @property
    def line(self) -> str:
        """The whole line that it stands in."""
        return self.lines[self.place]


def listing(draw: Draw, names: str, items: str = "item", size: int = 6) -> Listing:
    """Draw a document whose name is of the list `names`, its items of the list `items`."""
    numbers = draw.random.sample(range(11, 99), size + 1)
    chosen = several(draw, items, size)
    return Listing(draw.word(names), tuple(chosen), tuple(numbers[:size]), draw.random.randrange(size), numbers[size])


def sentence(draw: Draw, words: str, **slots: object) -> str:
    """Return a sentence of the list `words`, its slots filled with `slots`, the others with words."""
    text = draw.pick(draw.stock.words[words])
    return SLOT.sub(lambda found: str(slots[found[1]]) if found[1] in slots else draw.word(found[1]), text)


def several(draw: Draw, words: str, count: int) -> list[str]:
    """Return `count` different words of the list `words`."""
    found: dict[str, None] = {}
    while len(found) < count:
        found[draw.word(words)] = None
    return list(found)


def json_text(**values: object) -> str:
    """Return what a function answers, as JSON."""
    return json.dumps(values, ensure_ascii=False)


def fenced(text: str) -> str:
    """Return the text between fences on lines of their own."""
    return f"```\n{text}\n```"
