"""What an ECMAScript expression is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from services.protocols.javascript.unit_sets import UnitSet


class UnreadablePattern(ValueError):
    """The text is no ECMAScript expression, or one too large to be used."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One UTF-16 unit out of a set."""

    units: UnitSet


@dataclass(frozen=True, slots=True)
class Assertion:
    """A place in the text: its start, its end, or where words begin and end."""

    kind: Literal["start", "end", "word_edge", "no_word_edge"]


@dataclass(frozen=True, slots=True)
class Reference:
    """What the group of this number has matched; nothing, if it has matched nothing."""

    group: int


@dataclass(frozen=True, slots=True)
class Group:
    """A part whose match a reference can name."""

    number: int
    body: Node


@dataclass(frozen=True, slots=True)
class Look:
    """A part that must, or must not, stand ahead or behind."""

    body: Node
    is_behind: bool
    is_negative: bool


@dataclass(frozen=True, slots=True)
class Repeat:
    """A part that occurs `least` to `most` times; None for no limit. `groups` are the numbers of those inside it."""

    body: Node
    least: int
    most: int | None
    is_lazy: bool
    groups: range


@dataclass(frozen=True, slots=True)
class Sequence:
    """Parts one after the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Parts of which the first that leads to a match is taken."""

    branches: tuple[Node, ...]


Node = Unit | Assertion | Reference | Group | Look | Repeat | Sequence | Choice
