"""Finds calls in an answer, as the client does: a known tag opens a tool, the first closing tag ends a value."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from cline_profile.tools import PARAMETERS, TOOLS

_TOOL = re.compile(rf"<({'|'.join(TOOLS)})>")
_INSIDE = re.compile(rf"<({'|'.join(PARAMETERS)})>|</({'|'.join(TOOLS)})>")


@dataclass(slots=True)
class Call:
    """A call in the text.

    Attributes:
        is_open: the answer ended before the call was closed; the client runs it all the same.
    """

    name: str
    start: int
    end: int
    params: dict[str, str] = field(default_factory=dict)
    is_open: bool = False


def parse(text: str) -> list[Call]:
    """Return the calls of an answer in order."""
    calls: list[Call] = []
    place = 0
    while opening := _TOOL.search(text, place):
        calls.append(_call(text, opening))
        place = calls[-1].end
    return calls


def _call(text: str, opening: re.Match[str]) -> Call:
    call = Call(opening[1], opening.start(), len(text), is_open=True)
    place = opening.end()
    while found := _INSIDE.search(text, place):
        place = found.end()
        if found[2] == call.name:
            call.end, call.is_open = place, False
            break
        if found[1]:
            place = _value(text, found[1], place, call)
    return call


def _value(text: str, name: str, start: int, call: Call) -> int:
    closing = f"</{name}>"
    stop = text.find(f"</{call.name}>", start) if name == "content" else len(text)
    end = text.rfind(closing, start, stop) if name == "content" and stop >= 0 else text.find(closing, start)
    if end < 0:
        call.params[name] = text[start:]
        return len(text)
    value = text[start:end]
    call.params[name] = value.removeprefix("\n").removesuffix("\n") if name == "content" else value.strip()
    return end + len(closing)
