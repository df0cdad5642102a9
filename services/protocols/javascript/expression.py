"""Reads an ECMAScript expression without the flag `u`, the web's old liberties (Annex B of ECMA-262) included.

The grammar is that of ECMAScript 2024: a name may be given to one group only, and flags cannot change inside.
"""

import re
from dataclasses import dataclass
from typing import Final

from services.protocols.javascript import unit_sets
from services.protocols.javascript.groups import Groups, find_groups, read_name
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
from services.protocols.javascript.unit_sets import CLASS_ESCAPES, UnitSet, single

_CONTROLS = {"f": 0x0C, "n": 0x0A, "r": 0x0D, "t": 0x09, "v": 0x0B}
_DECIMAL = re.compile(r"[1-9][0-9]*")
_OCTAL = re.compile(r"[0-3][0-7]{0,2}|[4-7][0-7]?")
_HEXADECIMAL = re.compile(r"x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})")
_CONTROL_LETTER = re.compile(r"c([A-Za-z])")
_CONTROL_CHAR_IN_CLASS = re.compile(r"c([A-Za-z0-9_])")


def read_escape(units: str, place: int, groups: Groups) -> tuple[Unit | Assertion | Reference, int]:
    """Return what the escape outside a class means whose backslash is at `place`, and the place behind it.

    Raises:
        UnreadablePattern: nothing follows the backslash, or a named reference names no group.
    """
    char = units[place + 1 : place + 2]
    if char in ("b", "B"):
        return Assertion("word_edge" if char == "b" else "no_word_edge"), place + 2
    if char in CLASS_ESCAPES:
        return Unit(CLASS_ESCAPES[char]), place + 2
    if char == "k" and groups.numbers:
        return _named_reference(units, place + 2, groups)
    decimal = _DECIMAL.match(units, place + 1)
    # Ten digits are more groups than any expression has; `int` takes no number of thousands of digits.
    if decimal and len(decimal[0]) < 10 and int(decimal[0]) <= groups.count:
        return Reference(int(decimal[0])), decimal.end()
    unit, end = _unit(units, place, _CONTROL_LETTER)
    return Unit(single(unit)), end


def read_class_escape(units: str, place: int, groups: Groups) -> tuple[UnitSet, int]:
    """Return the units that the escape in a class stands for whose backslash is at `place`, and the place behind it.

    Raises:
        UnreadablePattern: nothing follows the backslash, or it would be a named reference.
    """
    char = units[place + 1 : place + 2]
    if char in CLASS_ESCAPES:
        return CLASS_ESCAPES[char], place + 2
    if char == "b":
        return single(0x08), place + 2
    if char == "k" and groups.numbers:
        raise UnreadablePattern("a reference stands in a class")
    unit, end = _unit(units, place, _CONTROL_CHAR_IN_CLASS)
    return single(unit), end


def _named_reference(units: str, place: int, groups: Groups) -> tuple[Reference, int]:
    name, end = read_name(units, place + 1) if units[place : place + 1] == "<" else ("", place)
    if name not in groups.numbers:
        raise UnreadablePattern(f"no group has the name {name!r}")
    return Reference(groups.numbers[name]), end


def _unit(units: str, place: int, control: re.Pattern[str]) -> tuple[int, int]:
    char = units[place + 1 : place + 2]
    if not char:
        raise UnreadablePattern("a backslash ends the expression")
    if char in _CONTROLS:
        return _CONTROLS[char], place + 2
    if octal := _OCTAL.match(units, place + 1):
        return int(octal[0], 8), octal.end()
    if hexadecimal := _HEXADECIMAL.match(units, place + 1):
        return int(hexadecimal[1] or hexadecimal[2], 16), hexadecimal.end()
    if letter := control.match(units, place + 1):
        return ord(letter[1]) % 32, letter.end()
    # A `c` that controls nothing is read next, by itself.
    return (ord("\\"), place + 1) if char == "c" else (ord(char), place + 2)


MAX_UNITS: Final = 4096
MAX_DEPTH: Final = 60
# What a text can hold no more of; larger numbers say the same.
MAX_COUNT: Final = 1 << 31

_BRACES = re.compile(r"\{([0-9]+)(?:(,)([0-9]*))?\}")
_SIMPLE_QUANTIFIERS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_UNREPEATABLE = ("^", "$", r"\b", r"\B", "(?<=", "(?<!")
_LOOKS = {"(?=": (False, False), "(?!": (False, True), "(?<=": (True, False), "(?<!": (True, True)}


def read_pattern(units: str, *, any_case: bool) -> Node:
    """Return what an expression is made of; `units` has one character per UTF-16 unit.

    With `any_case` (the flag `i`) sets hold all units that are equal to one of theirs where case does not count.

    Raises:
        UnreadablePattern: the client's language would refuse it, or it is longer or deeper than anyone would write.
    """
    if len(units) > MAX_UNITS:
        raise UnreadablePattern(f"the expression is longer than {MAX_UNITS} units")
    reader = _Reader(units, find_groups(units), any_case)
    node = reader.choice()
    if reader.place < len(units):
        raise UnreadablePattern("a group is closed that was never opened")
    return node


@dataclass(slots=True)
class _Reader:
    units: str
    groups: Groups
    any_case: bool
    place: int = 0
    depth: int = 0
    num_opened: int = 0

    def choice(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise UnreadablePattern(f"groups are nested deeper than {MAX_DEPTH}")
        branches = [self._sequence()]
        while self._takes("|"):
            branches.append(self._sequence())
        self.depth -= 1
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while self.place < len(self.units) and self.units[self.place] not in "|)":
            parts.append(self._term())
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _term(self) -> Node:
        first_group = self.num_opened + 1
        is_repeatable = not self.units.startswith(_UNREPEATABLE, self.place)
        node = self._atom()
        bounds = self._quantifier()
        if bounds is None:
            return node
        if not is_repeatable:
            raise UnreadablePattern("a quantifier follows what cannot be repeated")
        return Repeat(node, *bounds, is_lazy=self._takes("?"), groups=range(first_group, self.num_opened + 1))

    def _quantifier(self) -> tuple[int, int | None] | None:
        if simple := _SIMPLE_QUANTIFIERS.get(self.units[self.place : self.place + 1]):
            self.place += 1
            return simple
        braces = _BRACES.match(self.units, self.place)
        if braces is None:
            return None
        self.place = braces.end()
        least = _number(braces[1])
        most = least if not braces[2] else _number(braces[3]) if braces[3] else None
        if most is not None and most < least:
            raise UnreadablePattern("the numbers of a quantifier are out of order")
        return least, most

    def _atom(self) -> Node:
        char = self.units[self.place]
        if char in "*+?" or _BRACES.match(self.units, self.place):
            raise UnreadablePattern("there is nothing to repeat")
        if char == "(":
            return self._parenthesis()
        if char == "\\":
            node, self.place = read_escape(self.units, self.place, self.groups)
            return Unit(self._cased(node.units)) if isinstance(node, Unit) else node
        self.place += 1
        if char in "^$":
            return Assertion("start" if char == "^" else "end")
        if char == "[":
            return Unit(self._class())
        return Unit(unit_sets.NOT_LINE_ENDS if char == "." else self._cased(unit_sets.single(ord(char))))

    def _parenthesis(self) -> Node:
        for opening, (is_behind, is_negative) in _LOOKS.items():
            if self._takes(opening):
                return Look(self._closed(), is_behind, is_negative)
        if self._takes("(?:"):
            return self._closed()
        if self._takes("(?<"):
            _, self.place = read_name(self.units, self.place)
        elif self._takes("(?"):
            raise UnreadablePattern("a group begins in no known way")
        else:
            self.place += 1
        self.num_opened += 1
        number = self.num_opened
        return Group(number, self._closed())

    def _closed(self) -> Node:
        node = self.choice()
        if not self._takes(")"):
            raise UnreadablePattern("a group is never closed")
        return node

    def _class(self) -> UnitSet:
        is_negative = self._takes("^")
        runs: list[tuple[int, int]] = []
        while not self._takes("]"):
            runs.extend(self._class_part())
        units = self._cased(unit_sets.united(runs))
        return unit_sets.all_but(units) if is_negative else units

    def _class_part(self) -> UnitSet:
        first = self._class_member()
        # A dash before the end of the class, like one at its start, is a member of its own.
        if self.units[self.place : self.place + 1] != "-" or self.units[self.place + 1 : self.place + 2] == "]":
            return first
        self.place += 1
        last = self._class_member()
        if not (_is_one(first) and _is_one(last)):
            return (*first, *unit_sets.single(ord("-")), *last)
        if first > last:
            raise UnreadablePattern("the ends of a range are out of order")
        return ((first[0][0], last[0][0]),)

    def _class_member(self) -> UnitSet:
        if self.place >= len(self.units):
            raise UnreadablePattern("a class is never closed")
        if self.units[self.place] == "\\":
            units, self.place = read_class_escape(self.units, self.place, self.groups)
            return units
        self.place += 1
        return unit_sets.single(ord(self.units[self.place - 1]))

    def _cased(self, units: UnitSet) -> UnitSet:
        return unit_sets.in_any_case(units) if self.any_case else units

    def _takes(self, text: str) -> bool:
        is_next = self.units.startswith(text, self.place)
        self.place += len(text) if is_next else 0
        return is_next


def _number(digits: str) -> int:
    return min(int(digits), MAX_COUNT) if len(digits) < 12 else MAX_COUNT


def _is_one(units: UnitSet) -> bool:
    return len(units) == 1 and units[0][0] == units[0][1]
