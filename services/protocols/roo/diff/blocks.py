"""The text of a diff: its marker lines, its numbers of lines, and its blocks."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from services.protocols.javascript.text import SPACE_CLASS as S
from services.protocols.javascript.text import trim

MarkerFault = Literal["stray_marker", "marker_order", "line_marker_in_replace", "unfinished_block"]

_SEARCH_MARK = re.compile("<<<<<<< SEARCH>?")
_SEPARATOR_MARK = "======="
_REPLACE_MARK = ">>>>>>> REPLACE"
_LINE_MARKERS = (":start_line:", ":end_line:")
_MARKER_STARTS = ("<<<<<<<", "=======", ">>>>>>>", ":")
_START, _SEARCHING, _REPLACING = range(3)


def check_markers(diff: str) -> MarkerFault | None:
    """Return what is wrong with the marker lines of `diff`, or None."""
    markers = [marker for marker in map(trim, diff.split("\n")) if marker.startswith(_MARKER_STARTS)]
    counts = [sum(map(is_kind, markers)) for is_kind in (_is_search, _SEPARATOR_MARK.__eq__, _REPLACE_MARK.__eq__)]
    lopsided = counts[0] != counts[2] or counts[1] < counts[0]
    state = _START
    for marker in markers:
        if state == _REPLACING and marker.startswith(_LINE_MARKERS):
            return "line_marker_in_replace"
        kind = _kind(marker)
        if kind == state:
            state = (state + 1) % 3
        elif marker == _SEPARATOR_MARK:
            return "marker_order" if lopsided else "stray_marker"
        elif kind is not None:
            return "marker_order"
        elif not marker.startswith(":") and marker.startswith(("<<<<<<<", ">>>>>>>")):
            return "stray_marker"
    return None if state == _START else "unfinished_block"


def _is_search(marker: str) -> bool:
    return _SEARCH_MARK.fullmatch(marker) is not None


def _kind(marker: str) -> int | None:
    if _is_search(marker):
        return _START
    return {_SEPARATOR_MARK: _SEARCHING, _REPLACE_MARK: _REPLACING}.get(marker)


_LINE_END = "\n\r\u2028\u2029"
_NUMBERED = re.compile(rf"{S}*[0-9]+{S}+\|(?!\|)")
_NUMBER_PREFIX = re.compile(rf"{S}*[0-9]+{S}+\|(?!\|){S}?([^{_LINE_END}]*)\Z")
_ANY_PREFIX = re.compile(rf"{S}*(?:[0-9]+{S})?\|{S}([^{_LINE_END}]*)\Z")
_BREAK = re.compile(r"\r?\n")
_FIRST_NUMBER = re.compile(rf"{S}*([0-9]+)")


def lines_of(text: str) -> list[str]:
    """Return the lines of `text`, broken at LF and CRLF."""
    return _BREAK.split(text) if "\r" in text else text.split("\n")


def all_numbered(text: str) -> bool:
    """Return whether every line of `text` looks like `number | text`."""
    return all(_NUMBERED.match(line) for line in lines_of(text))


def both_numbered(search: str, replace: str) -> bool:
    """Return whether the numbers of a block are to be stripped."""
    return all_numbered(search) and (trim(replace) == "" or all_numbered(replace))


def first_number(text: str) -> int:
    """Return the number in front of the first line of numbered text."""
    numbered = _FIRST_NUMBER.match(text)
    return line_number(numbered[1]) if numbered else 0


def line_number(digits: str) -> int:
    """Return the line that `digits` name; the client's language reads them as a double, so a huge one is rounded."""
    return int(min(float(digits), sys.float_info.max))


def strip_numbers(text: str, *, bare_bars: bool = False) -> str:
    """Return `text` without line numbers; with `bare_bars`, without a bare `| ` in front as well."""
    pattern = _ANY_PREFIX if bare_bars else _NUMBER_PREFIX
    ending = "\r\n" if "\r\n" in text else "\n"
    return ending.join([numbered[1] if (numbered := pattern.match(line)) else line for line in lines_of(text)])


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
