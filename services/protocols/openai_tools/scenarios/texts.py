"""Documents, numbers and answers that scenarios are made of."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from services.protocols.material.draw import Draw
from services.protocols.material.scenario import Step
from services.protocols.session import call_key
from services.protocols.turn import Answer, ToolCall


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
    chosen = draw.several(items, size)
    return Listing(draw.word(names), tuple(chosen), tuple(numbers[:size]), draw.random.randrange(size), numbers[size])


def number_of(draw: Draw, words: str) -> int | float:
    """Return a number of the list `words`."""
    text = draw.word(words)
    return float(text) if "." in text else int(text)


def any_date(draw: Draw) -> str:
    """Return a day of one of the stock's years."""
    return f"{draw.word('year')}-{draw.random.randrange(1, 13):02}-{draw.random.randrange(1, 29):02}"


def any_time(draw: Draw) -> str:
    """Return a time of day."""
    return f"{draw.random.randrange(7, 22):02}:{draw.random.randrange(0, 60, 5):02}"


def answer_of(steps: Sequence[Step]) -> Answer:
    """Return the answer that makes these calls."""
    return Answer(calls=tuple(ToolCall(step.tool, json.dumps(step.arguments, ensure_ascii=False)) for step in steps))


def results_of(steps: Sequence[Step]) -> dict[str, str]:
    """Return what the calls answer, by call."""
    return {call_key(step.tool, step.arguments): step.result for step in steps if step.result}


def json_text(**values: object) -> str:
    """Return what a function answers, as JSON."""
    return json.dumps(values, ensure_ascii=False)


def fenced(text: str) -> str:
    """Return the text between fences on lines of their own."""
    return f"```\n{text}\n```"
