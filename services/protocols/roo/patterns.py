"""ECMAScript regular expressions as Python's."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from functools import lru_cache

from services.protocols.javascript import SPACES

_TOKEN = re.compile(r"\\[\s\S]|\(\?<[A-Za-z_]\w*>|\(\?[\s\S]|[*+?}]\+|\[\^?\]?|[\s\S]")
_KEPT = frozenset("bBdDwWnrtvfxu0123456789")
_LINE_ENDS = r"\n\r\u2028\u2029"


class _Unreadable(ValueError):
    """The expression is none for ECMAScript."""


@lru_cache(maxsize=256)
def compiled(pattern: str) -> re.Pattern[str] | None:
    """Return the Python form of an ECMAScript expression without flags, or None when there is none."""
    try:
        with warnings.catch_warnings():
            # Python announces that `--` and `||` in a class will mean more one day; here they mean what they do there.
            warnings.simplefilter("ignore", FutureWarning)
            return re.compile("".join(_translated(pattern)), re.ASCII)
    except (re.error, _Unreadable, OverflowError, RecursionError):
        return None


def _translated(pattern: str) -> Iterator[str]:
    in_class = False
    for found in _TOKEN.finditer(pattern):
        token = found[0]
        if token.startswith("\\"):
            yield _escape(token[1:], in_class)
        elif in_class:
            in_class = not token.endswith("]")
            yield "".join("\\[" if char == "[" else char for char in token)
        elif token.startswith("["):
            in_class = not token.endswith("]")
            yield {"[]": "(?!)", "[^]": r"[\s\S]"}.get(token, token)
        else:
            yield _outside_class(token)


def _outside_class(token: str) -> str:
    if token.startswith("(?<") and token.endswith(">"):
        return f"(?P{token[2:]}"
    if (token.startswith("(?") and token[2] not in ":=!<") or (len(token) == 2 and token.endswith("+")):
        raise _Unreadable(token)
    return {"$": r"\Z", ".": f"[^{_LINE_ENDS}]"}.get(token, token)


def _escape(char: str, in_class: bool) -> str:
    if char in "sS":
        if in_class and char == "S":
            raise _Unreadable("\\S in a class")
        return SPACES if in_class else f"[{'^' if char == 'S' else ''}{SPACES}]"
    if char.isascii() and char.isalpha() and char not in _KEPT:
        return char
    return f"\\{char}"
