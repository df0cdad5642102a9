"""Line numbers that a model copies along with numbered text."""

import re
import sys

from services.protocols.javascript import SPACE_CLASS as S
from services.protocols.javascript import trim

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
