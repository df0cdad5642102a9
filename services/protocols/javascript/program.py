"""Turns an ECMAScript expression into steps that `matching` walks."""

from collections.abc import Sequence as Steps
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain
from typing import Final

from services.protocols.javascript.syntax import (
    Assertion,
    Choice,
    Group,
    Look,
    Node,
    Reference,
    Repeat,
    Sequence,
    Unit,
    UnreadablePattern,
)

MAX_STEPS: Final = 20_000


class Op(IntEnum):
    """What a step does."""

    UNIT = 0
    """Go over one unit of a set; the argument holds the bounds of its runs, and the direction."""
    FORK = 1
    """Go on at the first of two steps, and at the second if that leads nowhere."""
    JUMP = 2
    ASSERT = 3
    LOOK = 4
    """Go on if the steps behind this one, up to their `MATCH`, do (or do not) lead there."""
    REFERENCE = 5
    MARK = 6
    """Keep the place in a register."""
    MOVED = 7
    """Go on if the place is another than the register's."""
    CLOSE = 8
    """Keep what a group has matched."""
    FORGET = 9
    """Empty the groups that a new round of a repetition holds."""
    MATCH = 10


@dataclass(frozen=True, slots=True)
class Program:
    """Steps, and how many registers they need: three a group, one a repetition; none without references."""

    steps: tuple[tuple[Op, tuple[int, ...]], ...]
    num_registers: int


def start_of(group: int) -> int:
    """Return the register of where the group's match begins; the next holds its end, the one before where it opened."""
    return 3 * group - 2


def build_program(node: Node) -> Program:
    """Return the steps of an expression.

    Raises:
        UnreadablePattern: there would be more than MAX_STEPS.
    """
    builder = _Builder(_has(node, Reference), 3 * _num_groups(node))
    builder.add(node, backwards=False)
    builder.put(Op.MATCH)
    return Program(tuple(builder.steps), builder.num_registers)


def has_plain_matches(node: Node) -> bool:
    """Return whether an expression holds neither references nor looks, so that any engine finds the same matches."""
    return not _has(node, Reference) and not _has(node, Look)


def _children(node: Node) -> tuple[Node, ...]:
    match node:
        case Sequence(parts):
            return parts
        case Choice(branches):
            return branches
        case Group(_, body) | Look(body, _, _) | Repeat(body, _, _, _, _):
            return (body,)
    return ()


def _has(node: Node, kind: type[Node]) -> bool:
    return isinstance(node, kind) or any(_has(child, kind) for child in _children(node))


def _num_groups(node: Node) -> int:
    own = node.number if isinstance(node, Group) else 0
    return max((own, *(_num_groups(child) for child in _children(node))))


class _Builder:
    def __init__(self, keeps_groups: bool, num_registers: int) -> None:
        self.keeps_groups = keeps_groups
        self.num_registers = num_registers if keeps_groups else 0
        self.steps: list[tuple[Op, tuple[int, ...]]] = []

    def put(self, op: Op, *arguments: int) -> int:
        """Add a step; return its place."""
        if len(self.steps) >= MAX_STEPS:
            raise UnreadablePattern(f"the expression takes more than {MAX_STEPS} steps")
        self.steps.append((op, arguments))
        return len(self.steps) - 1

    def add(self, node: Node, *, backwards: bool) -> None:
        """Add the steps of `node`; in what is looked for behind, the text is read backwards."""
        match node:
            case Sequence(parts):
                for part in reversed(parts) if backwards else parts:
                    self.add(part, backwards=backwards)
            case Choice(branches):
                self._add_choice(branches, backwards)
            case Group():
                self._add_group(node, backwards)
            case Look():
                self._add_look(node)
            case Repeat():
                self._add_repeat(node, backwards)
            case Unit() | Assertion() | Reference():
                self._add_single(node, backwards)

    def _add_single(self, node: Unit | Assertion | Reference, backwards: bool) -> None:
        direction = -1 if backwards else 1
        match node:
            case Unit(units):
                self.put(Op.UNIT, direction, *chain.from_iterable((first, last + 1) for first, last in units))
            case Assertion(kind):
                self.put(Op.ASSERT, ("start", "end", "word_edge", "no_word_edge").index(kind))
            case Reference(group):
                self.put(Op.REFERENCE, direction, group)

    def _add_choice(self, branches: Steps[Node], backwards: bool) -> None:
        exits = []
        for branch in branches[:-1]:
            fork = self.put(Op.FORK)
            self.add(branch, backwards=backwards)
            exits.append(self.put(Op.JUMP))
            self.steps[fork] = (Op.FORK, (fork + 1, len(self.steps)))
        self.add(branches[-1], backwards=backwards)
        for place in exits:
            self.steps[place] = (Op.JUMP, (len(self.steps),))

    def _add_group(self, group: Group, backwards: bool) -> None:
        if self.keeps_groups:
            self.put(Op.MARK, start_of(group.number) - 1)
        self.add(group.body, backwards=backwards)
        if self.keeps_groups:
            self.put(Op.CLOSE, -1 if backwards else 1, group.number)

    def _add_look(self, look: Look) -> None:
        place = self.put(Op.LOOK)
        self.add(look.body, backwards=look.is_behind)
        self.put(Op.MATCH)
        self.steps[place] = (Op.LOOK, (len(self.steps), int(look.is_negative)))

    def _add_repeat(self, repeat: Repeat, backwards: bool) -> None:
        for _ in range(repeat.least):
            num_steps = len(self.steps)
            self._add_round(repeat, backwards)
            # Nothing any number of times is nothing.
            if len(self.steps) == num_steps:
                break
        num_optional = 1 if repeat.most is None else repeat.most - repeat.least
        forks = [self._add_optional_round(repeat, backwards) for _ in range(num_optional)]
        if repeat.most is None:
            self.put(Op.JUMP, *forks)
        for fork in forks:
            ways = (fork + 1, len(self.steps))
            self.steps[fork] = (Op.FORK, ways[::-1] if repeat.is_lazy else ways)

    def _add_optional_round(self, repeat: Repeat, backwards: bool) -> int:
        fork = self.put(Op.FORK)
        register = self.num_registers
        if self.keeps_groups:
            self.num_registers += 1
            self.put(Op.MARK, register)
        self._add_round(repeat, backwards)
        # A round that went nowhere does not count; without references that changes nothing but the groups.
        if self.keeps_groups:
            self.put(Op.MOVED, register)
        return fork

    def _add_round(self, repeat: Repeat, backwards: bool) -> None:
        if self.keeps_groups and repeat.groups:
            self.put(Op.FORGET, repeat.groups.start, repeat.groups.stop)
        self.add(repeat.body, backwards=backwards)
