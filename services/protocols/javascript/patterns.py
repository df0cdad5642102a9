"""ECMAScript regular expressions: exact, and bounded in time.

Expressions that neither look around nor refer to groups are searched by RE2, in time linear in the text, unless it
reads a part of them in another way; the others by `matching`. Both work on UTF-16 units, as the client does.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import re2  # type: ignore[import-untyped]

from services.protocols.javascript.expression import read_pattern
from services.protocols.javascript.matching import Search, TooManyStates
from services.protocols.javascript.program import Program, build_program, has_plain_matches
from services.protocols.javascript.syntax import (
    Assertion,
    Choice,
    Group,
    Look,
    Node,
    Repeat,
    Sequence,
    Unit,
    UnreadablePattern,
)
from services.protocols.javascript.text import to_units
from services.protocols.javascript.unit_sets import LAST_UNIT, UnitSet

# RE2 would look for `\B` between the bytes of a letter as well, so it is not asked for that.
_ASSERTIONS: Final = {"start": r"\A", "end": r"\z", "word_edge": r"\b"}
# RE2 counts no further; much larger numbers it takes for plain text.
_MOST_COUNTED: Final = 1000
# RE2 reads UTF-8, which has no halves of surrogate pairs. They take the place of characters that are no units.
_FIRST_HALF, _LAST_HALF, _HALVES_AT = 0xD800, 0xDFFF, 0x100000
_HALVES: Final = {half: _HALVES_AT + half for half in range(_FIRST_HALF, _LAST_HALF + 1)}


@dataclass(frozen=True, slots=True)
class Pattern:
    """An expression, ready to be searched for: by RE2 if it can, by its steps if not."""

    linear: re2._Regexp | None
    program: Program | None
    any_case: bool

    def search(self, text: str) -> bool:
        """Return whether the expression matches somewhere in `text`.

        A search that takes too long counts as no match: the client itself would stand still at it.
        """
        units = text if text.isascii() else to_units(text)
        if self.linear is not None:
            # A search in bytes is spared the counting of characters.
            return self.linear.search((units if units.isascii() else units.translate(_HALVES)).encode()) is not None
        assert self.program is not None
        try:
            return Search(self.program, units, any_case=self.any_case).matches_anywhere()
        except TooManyStates:
            return False


@lru_cache(maxsize=256)
def compiled(pattern: str, *, any_case: bool = False) -> Pattern | None:
    """Return an expression without flags, or with the flag `i` alone (`any_case`); None when the client refuses it."""
    try:
        node = read_pattern(to_units(pattern), any_case=any_case)
        plain = _without_last_looks(node)
        linear = _linear(plain) if has_plain_matches(plain) else None
        return Pattern(linear, None if linear else build_program(node), any_case)
    except UnreadablePattern:
        return None


def _without_last_looks(node: Node) -> Node:
    """Return `node` with what it looks for ahead at its very end as its last part: that matches in the same texts."""
    match node:
        case Sequence((*parts, last)):
            return Sequence((*parts, _without_last_looks(last)))
        case Choice(branches):
            return Choice(tuple(_without_last_looks(branch) for branch in branches))
        case Group(number, body):
            return Group(number, _without_last_looks(body))
        case Look(body, is_behind=False, is_negative=False):
            return _without_last_looks(body)
    return node


def _linear(node: Node) -> re2._Regexp | None:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(_as_re2(node), options)
    except re2.error:
        # Too large, or a part occurs too often.
        return None


def _as_re2(node: Node) -> str:
    match node:
        case Unit(units):
            return _class(units)
        case Assertion(kind) if kind in _ASSERTIONS:
            return _ASSERTIONS[kind]
        case Sequence(parts):
            return "".join(_as_re2(part) for part in parts)
        case Choice(branches):
            return f"(?:{'|'.join(_as_re2(branch) for branch in branches)})"
        case Group(_, body):
            return f"(?:{_as_re2(body)})"
        case Repeat(body, least, most) if max(least, most or 0) <= _MOST_COUNTED:
            return f"(?:{_as_re2(body)}){{{least},{'' if most is None else most}}}"
    raise re2.error(f"RE2 does not take this {type(node).__name__}")


def _class(units: UnitSet) -> str:
    runs = [run for first, last in units for run in _without_halves(first, last)]
    members = "".join(rf"\x{{{first:x}}}-\x{{{last:x}}}" for first, last in runs)
    return f"[{members}]" if members else r"[^\x00-\x{10FFFF}]"


def _without_halves(first: int, last: int) -> list[tuple[int, int]]:
    parts = (
        (first, min(last, _FIRST_HALF - 1)),
        (_HALVES_AT + max(first, _FIRST_HALF), _HALVES_AT + min(last, _LAST_HALF)),
        (max(first, _LAST_HALF + 1), min(last, LAST_UNIT)),
    )
    return [(low, high) for low, high in parts if low <= high]
