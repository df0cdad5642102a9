"""What a backslash means in an ECMAScript expression without the flag `u`."""

import re

from services.protocols.javascript.groups import Groups, read_name
from services.protocols.javascript.syntax import Assertion, Reference, Unit, UnreadablePattern
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
