"""Sets of UTF-16 units, as ECMAScript's classes name them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache

from services.protocols.javascript.text import SPACES

LAST_UNIT = 0xFFFF

UnitSet = tuple[tuple[int, int], ...]
"""First and last unit of each run, ascending, with a gap between any two."""


def united(runs: Iterable[tuple[int, int]]) -> UnitSet:
    """Return the set of all units in `runs`."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(runs):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)


def all_but(units: UnitSet) -> UnitSet:
    """Return the set of the units that `units` lacks."""
    gaps: list[tuple[int, int]] = []
    start = 0
    for first, last in units:
        if start < first:
            gaps.append((start, first - 1))
        start = last + 1
    return (*gaps, (start, LAST_UNIT)) if start <= LAST_UNIT else tuple(gaps)


def single(unit: int) -> UnitSet:
    """Return the set of one unit."""
    return ((unit, unit),)


DIGITS = united([(0x30, 0x39)])
WORD = united([(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)])
BLANKS = united((ord(char), ord(char)) for char in SPACES)
LINE_ENDS = united([(0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029)])
NOT_LINE_ENDS = all_but(LINE_ENDS)

CLASS_ESCAPES: Mapping[str, UnitSet] = {
    "d": DIGITS,
    "D": all_but(DIGITS),
    "s": BLANKS,
    "S": all_but(BLANKS),
    "w": WORD,
    "W": all_but(WORD),
}
"""What `\\d` and its like stand for."""


def folded(unit: int) -> int:
    """Return the unit that stands for `unit` where case does not count, by the rule for expressions without `u`."""
    upper = chr(unit).upper()
    # A letter whose capital has several units, or that would become ASCII without being it, stays itself.
    if len(upper) != 1 or ord(upper) > LAST_UNIT or (unit >= 0x80 > ord(upper)):
        return unit
    return ord(upper)


@lru_cache(maxsize=512)
def in_any_case(units: UnitSet) -> UnitSet:
    """Return `units` with all units that are equal to one of them where case does not count."""
    groups = _letters_alike()
    if sum(last - first + 1 for first, last in units) < len(groups):
        members: Iterable[int] = (unit for first, last in units for unit in range(first, last + 1))
    else:
        members = (unit for unit in groups if any(first <= unit <= last for first, last in units))
    return united((*units, *((letter, letter) for unit in members for letter in groups.get(unit, ()))))


@cache
def _letters_alike() -> Mapping[int, tuple[int, ...]]:
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for unit in range(LAST_UNIT + 1):
        # Halves of surrogate pairs have no case.
        if not 0xD800 <= unit <= 0xDFFF:
            groups[folded(unit)].append(unit)
    return {unit: tuple(letters) for letters in groups.values() if len(letters) > 1 for unit in letters}
