"""Where a string stands in a text, blanks aside, in a time that grows with their lengths and not with their product."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from services.protocols.javascript.text import SPACES

Span = tuple[int, int]
_WORD = re.compile(f"[^{SPACES}]+")
_NARROW = "\t "


@dataclass(frozen=True)
class _Pattern:
    """Words, and the characters that the blanks before, between and behind them may have; "" stands for no blanks."""

    words: tuple[str, ...]
    blanks: tuple[str, ...]


def loose_matches(text: str, string: str, *, is_any_blank: bool = False) -> list[Span]:
    """Return the spans in `text` that differ from a string in blanks only, from the left and without overlap.

    Blanks stand for others within a line, those with a line feed for any at all.

    Args:
        text: What is searched.
        string: What is searched for.
        is_any_blank: Whether all blanks between words stand for any at all, and those around them are left out.
    """
    words = tuple(_WORD.findall(string))
    blanks = tuple((SPACES if "\n" in run else _NARROW) if run else "" for run in _WORD.split(string))
    if is_any_blank:
        blanks = ("", *(SPACES for _ in words[1:]), "")
    if words and any(blanks):
        return list(_matches(text, _Pattern(words, blanks)))
    # Blanks alone stand for a run of them, a word alone for itself.
    expression = re.escape(words[0]) if words else "".join(f"[{run}]+" for run in blanks if run)
    return [match.span() for match in re.finditer(expression, text)] if expression else []


def _matches(text: str, pattern: _Pattern) -> Iterator[Span]:
    spans = [match.span() for match in _WORD.finditer(text)]
    gaps = (text[end:start] for (_, end), (start, _) in pairwise(spans))
    wide_gaps = bytes(bool(gap.strip(_NARROW)) for gap in gaps)
    num_gaps = len(pattern.words) - 1
    narrow_gaps = int.from_bytes(bytes(run == _NARROW for run in pattern.blanks[1:-1]), "big")
    end = 0
    for place in _places(text, spans, pattern.words):
        span = _span(text, spans, pattern, place=place, after=end)
        if span and not narrow_gaps & int.from_bytes(wide_gaps[place : place + num_gaps], "big"):
            yield span
            end = span[1]


def _places(text: str, spans: Sequence[Span], words: Sequence[str]) -> Iterator[int]:
    """Yield each word of a text, by its number, from which on all but the first and the last one are the pattern's."""
    last = len(spans) - len(words)
    if len(words) <= 2:
        yield from range(last + 1)
        return
    numbers = {word: number for number, word in enumerate(words[1:-1])}
    text_numbers = [numbers.get(text[start:end], -1) for start, end in spans[1:-1]]
    yield from _occurrences(text_numbers, [numbers[word] for word in words[1:-1]])


def _occurrences(text: Sequence[int], pattern: Sequence[int]) -> Iterator[int]:
    """Yield where a sequence stands in another one, overlaps included, after Knuth, Morris and Pratt."""
    borders = [0]
    for number in pattern[1:]:
        borders.append(_grown(borders[-1], number, pattern, borders))
    length = 0
    for place, number in enumerate(text, 1):
        length = _grown(length, number, pattern, borders)
        if length == len(pattern):
            yield place - length
            length = borders[-1]


def _grown(length: int, number: int, pattern: Sequence[int], borders: Sequence[int]) -> int:
    """Return how much of the pattern's start ends with `number`, where `length` of it ended just before."""
    while length and pattern[length] != number:
        length = borders[length - 1]
    return length + (pattern[length] == number)


def _span(text: str, spans: Sequence[Span], pattern: _Pattern, *, place: int, after: int) -> Span | None:
    """Return the span of a match whose first word is that of the text at `place`, if there is one behind `after`."""
    words, blanks = pattern.words, pattern.blanks
    final = place + len(words) - 1
    (first_start, first_end), (last_start, last_end) = spans[place], spans[final]
    start = first_start if blanks[0] else first_end - len(words[0])
    if len(words) == 1:
        end = last_end if blanks[-1] else start + len(words[0])
        is_there = start >= first_start and end <= last_end and text[start:end] == words[0]
    else:
        end = last_end if blanks[-1] else last_start + len(words[-1])
        is_there = start >= first_start and text[start:first_end] == words[0]
        is_there = is_there and end <= last_end and text[last_start:end] == words[-1]
    if not is_there or start < after:
        return None
    before = text[max(after, spans[place - 1][1] if place else 0) : first_start]
    behind = text[last_end : spans[final + 1][0] if final + 1 < len(spans) else len(text)]
    num_before, num_behind = len(before) - len(before.rstrip(blanks[0])), len(behind) - len(behind.lstrip(blanks[-1]))
    if (blanks[0] and not num_before) or (blanks[-1] and not num_behind):
        return None
    return start - (num_before if blanks[0] else 0), end + (num_behind if blanks[-1] else 0)
