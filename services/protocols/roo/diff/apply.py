"""Step 3 of `apply_diff`: put the blocks of a diff into a file."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from rapidfuzz.distance import Levenshtein

from services.protocols.javascript.text import SPACES, to_units, trim
from services.protocols.roo.diff.blocks import (
    DiffBlock,
    MarkerFault,
    both_numbered,
    check_markers,
    first_number,
    lines_of,
    read_blocks,
    strip_numbers,
    unescape,
)

_TYPOGRAPHY = str.maketrans(
    {
        "\u201c": '"',
        "\u201d": '"',
        "\u2018": "'",
        "\u2019": "'",
        "\u2026": "...",
        "\u2014": "-",
        "\u2013": "-",
        "\u00a0": " ",
    }
)
_NO_BLANKS = re.compile("[\x1c-\x1f]")
"""Characters that Python's `split` counts as blank and the client does not."""

_TO_BLANK = str.maketrans(dict.fromkeys(SPACES, " "))


def normalised(text: str) -> str:
    """Return `text` with plain quotes and dashes, single blanks, and no blank at its ends."""
    if text.isascii():
        if not _NO_BLANKS.search(text):
            return " ".join(text.split())
    else:
        text = text.translate(_TYPOGRAPHY)
    return " ".join(filter(None, text.translate(_TO_BLANK).split(" ")))


def similarity(one: str, other: str, floor: float = 0.0) -> float:
    """Return 1 − distance ÷ longer length of two normalised texts, 1 when they are equal, in UTF-16 units.

    A similarity that is not above `floor` is given as `floor` or less, which is found out much faster.
    """
    if one == other:
        return 1.0
    one, other = (text if text.isascii() else to_units(text) for text in (one, other))
    longer = max(len(one), len(other))
    # One more than needed keeps a rounding error from cutting off a similarity just above the floor.
    limit = min(longer, int((1 - floor) * longer) + 1)
    distance = Levenshtein.distance(one, other, score_cutoff=limit)
    return 1 - distance / longer


BUFFER_LINES = 40
_MANY_LINES = 2000
"""From here on it pays to look first whether the text is in the file at all."""
_INDENT = re.compile("[\t ]*")

BlockFault = Literal["no_match", "identical", "empty_search"]
DiffFault = MarkerFault | Literal["no_block", "no_part_applied"]


@dataclass(frozen=True, slots=True)
class FailedBlock:
    """A block that could not be applied; `similarity` is the best found, in whole percent, where it was measured."""

    fault: BlockFault
    similarity: int | None = None


@dataclass(frozen=True, slots=True)
class DiffOutcome:
    """What a diff did.

    Attributes:
        content: the file's new text; None when nothing was applied.
        fault: why nothing was applied.
        failed: blocks that failed, in order of application.
        blocks: the blocks as written.
    """

    content: str | None
    fault: DiffFault | None
    failed: tuple[FailedBlock, ...] = ()
    blocks: tuple[DiffBlock, ...] = ()


def apply_diff(original: str, diff: str, *, threshold: float = 1.0, measure: bool = False) -> DiffOutcome:
    """Apply `diff` to `original`; one applied block is enough for success.

    Args:
        original: the file's text.
        diff: the value as the client hands it on.
        threshold: similarity from which a place counts as a match.
        measure: find the best similarity of blocks without a match (slow, wanted only for reports).
    """
    if fault := check_markers(diff):
        return DiffOutcome(None, fault)
    blocks = read_blocks(diff)
    if not blocks:
        return DiffOutcome(None, "no_block")
    work = _Work(lines_of(original), threshold, measure)
    failed = tuple(one for block in sorted(blocks, key=_start_line) if (one := work.apply(block)))
    if len(failed) == len(blocks):
        return DiffOutcome(None, "no_part_applied", failed, blocks)
    ending = "\r\n" if "\r\n" in original else "\n"
    return DiffOutcome(ending.join(work.lines), None, failed, blocks)


def _start_line(block: DiffBlock) -> int:
    return block.start_line


@dataclass(slots=True)
class _Match:
    index: int = -1
    score: float = 0.0


class _Work:
    """The file's lines while blocks go in; `plain` keeps the normal form of lines that were looked at."""

    def __init__(self, lines: list[str], threshold: float, measure: bool) -> None:
        self.threshold = threshold
        self.measure = measure or threshold < 1
        self.shift = 0
        self.lines = lines
        self.plain: dict[str, str] = {}
        self.whole: str | None = None

    def apply(self, block: DiffBlock) -> FailedBlock | None:
        start = block.start_line + self.shift if block.start_line else 0
        search, replace = unescape(block.search), unescape(block.replace)
        if both_numbered(search, replace):
            start = start or first_number(search)
            search, replace = strip_numbers(search), strip_numbers(replace)
        if search == replace:
            return FailedBlock("identical")
        if search == "":
            return FailedBlock("empty_search")
        return self._place(start, search, replace)

    def _place(self, start: int, search: str, replace: str) -> FailedBlock | None:
        match, bounds = self._find(start, lines_of(search))
        if match.score < self.threshold:
            best = match.score
            search, replace = strip_numbers(search, bare_bars=True), strip_numbers(replace, bare_bars=True)
            match = self._search(_lines_or_none(search), *bounds)
            if match.score < self.threshold or match.index < 0:
                return FailedBlock("no_match", int(best * 100) if self.measure else None)
        self._replace(match.index, _lines_or_none(search), _lines_or_none(replace))
        return None

    def _find(self, start: int, search: Sequence[str]) -> tuple[_Match, tuple[int, int]]:
        bounds = (0, len(self.lines))
        if start:
            stretch = normalised("\n".join(self.lines[start - 1 : start - 1 + len(search)]))
            score = self._score(stretch, normalised("\n".join(search)), 0.0)
            if score >= self.threshold:
                return _Match(start - 1, score), bounds
            last = min(len(self.lines), start + len(search) + BUFFER_LINES)
            bounds = (max(0, start - BUFFER_LINES - 1), last)
        return self._search(search, *bounds), bounds

    def _search(self, search: Sequence[str], first: int, end: int) -> _Match:
        """Search from the middle of the window outwards; the first of the best wins."""
        best = _Match()
        if not search:
            return best
        search_text = normalised("\n".join(search))
        if end - first > _MANY_LINES and not self.measure and search_text not in self._whole():
            return best
        plain = [self._plain(line) for line in self.lines[first : end + len(search)]]
        # Normalised text has neither line breaks nor blanks in a row, so its length adds up line by line.
        ends = [0, *accumulate(len(line) + bool(line) for line in plain)]
        length = len(search_text) + bool(search_text)
        for index in _outwards(first, end, len(search)):
            start, stop = (min(place, len(plain)) for place in (index - first, index - first + len(search)))
            if not self.measure and ends[stop] - ends[start] != length:
                continue
            score = self._score(" ".join(filter(None, plain[start:stop])), search_text, best.score)
            if score > best.score:
                best = _Match(index, score)
                if score == 1:
                    break
        return best

    def _whole(self) -> str:
        if self.whole is None:
            self.whole = normalised("\n".join(self.lines))
        return self.whole

    def _plain(self, line: str) -> str:
        if (plain_line := self.plain.get(line)) is None:
            plain_line = self.plain[line] = normalised(line)
        return plain_line

    def _score(self, stretch: str, search_text: str, floor: float) -> float:
        if stretch == search_text:
            return 1.0
        return similarity(stretch, search_text, floor) if self.measure and search_text else 0.0

    def _replace(self, index: int, search: Sequence[str], replace: Sequence[str]) -> None:
        end = index + len(search)
        matched = self.lines[index:end]
        base = _indent(matched[0]) if matched else ""
        searched = _indent(search[0]) if search else ""
        # A shifted start line can be negative; the three slices then overlap just as the client's do.
        self.lines = [*self.lines[:index], *(_rebased(line, base, searched) for line in replace), *self.lines[end:]]
        self.whole = None
        self.shift += len(replace) - len(matched)


def _outwards(first: int, end: int, length: int) -> Iterator[int]:
    left = (first + end) // 2
    right = left + 1
    while left >= first or right <= end - length:
        if left >= first:
            yield left
            left -= 1
        if right <= end - length:
            yield right
            right += 1


def _lines_or_none(text: str) -> list[str]:
    return lines_of(text) if text else []


def _indent(line: str) -> str:
    stretch = _INDENT.match(line)
    return stretch[0] if stretch else ""


def _rebased(line: str, base: str, searched: str) -> str:
    """Return a new line indented like the matched first line plus what it has beyond the search's first line."""
    own = _indent(line)
    beyond = len(own) - len(searched)
    indent = base[: max(0, len(base) + beyond)] if beyond < 0 else base + own[len(searched) :]
    return indent + trim(line)
