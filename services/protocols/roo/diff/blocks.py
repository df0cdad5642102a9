"""Step 2 of `apply_diff`: the blocks of a diff, and what the prompt demands of their form."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from services.protocols.javascript import SPACE_CLASS as S
from services.protocols.roo.diff.line_numbers import line_number
from services.protocols.roo.diff.markers import check_markers

_HEAD = re.compile(
    rf"(?:^|\n)(?<!\\)<<<<<<< SEARCH>?{S}*\n(:start_line:{S}*([0-9]+){S}*\n)?(:end_line:{S}*[0-9]+{S}*\n)?"
    rf"((?<!\\)-------{S}*\n)?"
)
_SEPARATOR = re.compile(rf"(?<=\n)=======({S}*\n)")
_END = re.compile(r"(?<=\n)>>>>>>> REPLACE(?=\n|\Z)")
_ESCAPED = re.compile(r"(^|[\n\r\u2028\u2029])\\(?=<<<<<<<|=======|>>>>>>>|-------|:start_line:|:end_line:)")


@dataclass(frozen=True, slots=True)
class DiffBlock:
    """One block: what to look for, and what to put there.

    Attributes:
        start_line: line where the search text should stand, from 1; 0 when the block does not say.
        has_start_line: `:start_line:` is there.
        has_dashes: the line of seven dashes is there.
    """

    start_line: int
    search: str
    replace: str
    has_start_line: bool
    has_dashes: bool


def read_blocks(diff: str) -> tuple[DiffBlock, ...]:
    """Return the blocks of `diff` in the order in which they are written."""
    return tuple(_blocks(diff))


def _blocks(diff: str) -> Iterator[DiffBlock]:
    position = 0
    while head := _HEAD.search(diff, position):
        parts = _parts(diff, head.end())
        if parts is None:
            return
        search, replace, position = parts
        yield DiffBlock(
            start_line=line_number(head[2]) if head[2] else 0,
            search=search,
            replace=replace,
            has_start_line=head[1] is not None,
            has_dashes=head[4] is not None,
        )


def _parts(diff: str, start: int) -> tuple[str, str, int] | None:
    separator = _SEPARATOR.search(diff, start)
    if separator is None:
        return None
    end = _END.search(diff, separator.end())
    if end is None:
        return None
    search = diff[start : max(start, separator.start() - 1)]
    replace = diff[separator.end() : max(separator.end(), end.start() - 1)]
    return search, replace, end.end()


def unescape(text: str) -> str:
    """Return `text` with one backslash removed before each marker at a line's start."""
    return _ESCAPED.sub(r"\1", text)


def form_problem(diff: str) -> str | None:
    """Return one sentence on what is wrong with the form of a diff, or None."""
    if fault := check_markers(diff):
        return f"the marker lines of the diff are not in order ({fault})."
    blocks = read_blocks(diff)
    if not blocks:
        return "the diff holds no block that the client can read."
    if not all(block.has_start_line for block in blocks):
        return "a block of the diff lacks its :start_line:."
    if not all(block.has_dashes for block in blocks):
        return "a block of the diff lacks the line of seven dashes."
    return None
