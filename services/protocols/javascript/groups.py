"""The groups of an ECMAScript expression: how many there are, and their names."""

import re
from dataclasses import dataclass

from services.protocols.javascript.syntax import UnreadablePattern
from services.protocols.javascript.text import from_units

# Escapes and classes are skipped whole: a parenthesis in them opens nothing.
_OPENING = re.compile(r"\\[\s\S]|\[(?:\\[\s\S]|[^\]\\])*|(?P<named>\(\?<(?![=!]))|(?P<plain>\((?!\?))")
_ESCAPED_UNIT = re.compile(r"\\u(?:([0-9A-Fa-f]{4})|\{0*([0-9A-Fa-f]{1,6})\})")


@dataclass(frozen=True, slots=True)
class Groups:
    """How many groups an expression has, and the numbers of those with a name."""

    count: int
    numbers: dict[str, int]


def find_groups(units: str) -> Groups:
    """Return the groups of an expression, before it is read: a reference may stand before its group.

    Raises:
        UnreadablePattern: a name is none, or given twice.
    """
    count = 0
    numbers: dict[str, int] = {}
    for opening in _OPENING.finditer(units):
        count += opening.lastgroup is not None
        if opening.lastgroup == "named":
            name, _ = read_name(units, opening.end())
            if name in numbers:
                raise UnreadablePattern(f"two groups have the name {name!r}")
            numbers[name] = count
    return Groups(count, numbers)


def read_name(units: str, place: int) -> tuple[str, int]:
    """Return the name that begins at `place`, and the place behind the `>` that ends it.

    Raises:
        UnreadablePattern: there is no name.
    """
    end = units.find(">", place)
    name = from_units(_ESCAPED_UNIT.sub(_unescaped, units[place : max(end, place)]))
    if not name or not _is_letter(name[0], "") or not all(_is_letter(char, "a") for char in name[1:]):
        raise UnreadablePattern("a group's name is no name")
    return name, end + 1


def _unescaped(escape: re.Match[str]) -> str:
    code = int(escape[1] or escape[2], 16)
    return chr(code) if code <= 0x10FFFF else " "


def _is_letter(char: str, before: str) -> bool:
    return char == "$" or (before + char).isidentifier() or (bool(before) and char in "\u200c\u200d")
