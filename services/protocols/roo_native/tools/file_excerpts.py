"""Parts of a file as the model gets to see them, with line numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.protocols.javascript.text import SPACES, from_units, num_units, to_units, trim
from services.protocols.roo_native.parse.values import Number

LINE_LIMIT = 2000
LINE_LENGTH = 2000

_INDENT_UNIT = 4
_COMMENTS = ("#", "//", "--", "/*", "*", "'''", '"""')


def shown_lines(lines: Sequence[str], numbers: Sequence[int]) -> str:
    """Return `lines` behind their `numbers`, each cut at 2,000 characters."""
    width = len(str(numbers[-1])) if numbers else 1
    return "\n".join(f"{number:>{width}} | {_cut(lines[number - 1])}" for number in numbers)


def _cut(line: str) -> str:
    if num_units(line) <= LINE_LENGTH:
        return line
    return from_units(to_units(line)[: LINE_LENGTH - 3]).rstrip("\ufffd") + "..."


def _with_notice(shown: str, first: int, last: int, total: int, limit: Number) -> str:
    more = f"Read on with offset={last + 1} and limit={limit}."
    return f"The file is longer than what is shown here: lines {first}-{last} of {total}. {more}\n\n{shown}"


def slice_of(text: str, offset: Number | None, limit: Number | None) -> str:
    """Return up to `limit` lines of `text` from line `offset` on, counted from 1; a note comes first when more follow.

    Args:
        text: the file's.
        offset: 1 when None; fractions are dropped.
        limit: 2,000 when None.
    """
    lines = text.split("\n")
    start = max(0, int(1 if offset is None else offset) - 1)
    if start >= len(lines):
        return f"There is no line {start + 1}: the file has {len(lines)} lines."
    count = LINE_LIMIT if limit is None else limit
    end = min(start + max(0, int(count)), len(lines))
    if not text:
        return "The file is empty."
    shown = shown_lines(lines, range(start + 1, end + 1))
    return shown if end == len(lines) else _with_notice(shown, start + 1, end, len(lines), count)


@dataclass(frozen=True, slots=True)
class Block:
    """Which lines around an anchor are wanted.

    Attributes:
        anchor: number of the line, from 1.
        max_levels: levels of indentation above the anchor's; 0 for all.
        siblings: blocks beside the anchor's, too.
        header: comments above, too.
        limit: lines at most.
    """

    anchor: int
    max_levels: Number = 0
    siblings: bool = False
    header: bool = True
    limit: Number = LINE_LIMIT


def block_of(text: str, block: Block) -> str:
    """Return the lines around an anchor that belong together by their indentation."""
    lines = text.split("\n")
    if not 1 <= block.anchor <= len(lines):
        return f"There is no line {block.anchor}: the file has {len(lines)} lines."
    first, last = _bounds(lines, block)
    while first < last and not trim(lines[first]):
        first += 1
    while first < last and not trim(lines[last]):
        last -= 1
    shown = shown_lines(lines, range(first + 1, last + 2))
    if last - first + 1 < len(lines):
        return _with_notice(shown, first + 1, last + 1, len(lines), block.limit)
    return f"{shown}\n\nLines {first + 1}-{last + 1} of {len(lines)}."


def _levels(lines: Sequence[str]) -> list[int]:
    """Return the indentation of each line in steps of four blanks; a blank line has that of the line before."""
    levels = [0]
    for line in lines:
        body = line.lstrip(SPACES)
        width = sum(_INDENT_UNIT if char == "\t" else 1 for char in line[: len(line) - len(body)])
        levels.append(width // _INDENT_UNIT if body else levels[-1])
    return levels[1:]


def _bounds(lines: Sequence[str], block: Block) -> tuple[int, int]:
    levels = _levels(lines)
    least = max(0, levels[block.anchor - 1] - int(block.max_levels)) if block.max_levels else 0
    ends, edges, growing = {-1: block.anchor - 1, 1: block.anchor - 1}, {-1: 0, 1: 0}, {-1, 1}
    while growing:
        for direction in (-1, 1):
            if ends[1] - ends[-1] + 1 >= min(block.limit, len(lines)):
                return ends[-1], ends[1]
            if direction not in growing:
                continue
            index = ends[direction] + direction
            if not 0 <= index < len(lines) or levels[index] < least:
                growing.discard(direction)
                continue
            if levels[index] == least and not block.siblings:
                is_header = direction < 0 and block.header and trim(lines[index]).startswith(_COMMENTS)
                if edges[direction] and not is_header:
                    growing.discard(direction)
                    continue
                edges[direction] += 1
            ends[direction] = index
    return ends[-1], ends[1]
