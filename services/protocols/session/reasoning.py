"""Where an answer begins behind its reasoning, as servers split it off before a client reads on.

A template may open the block in the prompt, so a closing mark alone ends one as well. The Roo XML client has a rule of
its own, in `roo_xml.parse`: it reads raw text.
"""

import json
import re
from dataclasses import dataclass

_DECODER = json.JSONDecoder()
_CALL = "<tool_call>"
_MAX_MISSES = 50
"""Calls whose JSON is broken that are looked into: each costs a reading of all text before it."""

_FENCED_JSON = re.compile(r"\s*(?:```(?:json)?[ \t]*\n\s*)?(?=[{\[])")
_BLANKS = re.compile(r"\s*")


@dataclass(frozen=True, slots=True)
class _Marks:
    """What opens and closes a block of reasoning, and what may head the answer behind it.

    Attributes:
        in_prompt: templates open the block in the prompt, so that the closing mark may stand alone.
    """

    opening: str
    closing: str
    head: str = ""
    in_prompt: bool = True


_ALL_MARKS = (
    _Marks("<think>", "</think>"),
    _Marks("<seed:think>", "</seed:think>"),
    _Marks("[THINK]", "[/THINK]"),
    _Marks("◁think▷", "◁/think▷"),
    _Marks("<|START_THINKING|>", "<|END_THINKING|>"),
    _Marks("<|inner_prefix|>", "<|inner_suffix|>"),
    _Marks("<|channel>thought", "<channel|>"),
    _Marks("<|channel|>analysis<|message|>", "<|end|>", "<|start|>assistant<|channel|>final<|message|>", False),
)
"""Only what servers split off: `<thinking>` and `<reasoning>` are text to them."""


def answer_start(text: str) -> int:
    """Return where the answer begins: behind the block of reasoning at the text's start, 0 without one.

    A block that is never closed takes the whole text. A closing mark that stands alone ends one as well, unless it is
    part of a value (in the JSON of a call, or of an answer that is JSON) or quoted in backticks. A block that opens
    behind other text is text.
    """
    start = _end_of_blanks(text, 0)
    for marks in _ALL_MARKS:
        is_open = text.startswith(marks.opening, start)
        if (is_open or marks.in_prompt) and marks.closing in text:
            end = _end(text, marks, is_open=is_open)
            if end is not None:
                return _behind_further_marks(text, end, marks)
        if is_open:
            return len(text)
    return 0


def _end(text: str, marks: _Marks, *, is_open: bool) -> int | None:
    inner = re.compile("|".join(map(re.escape, (marks.closing, marks.opening, _CALL))))
    opening = _FENCED_JSON.match(text)
    position, depth, first, misses = (_end_of_value(text, opening.end()) if opening else 0), 0, None, 0
    while mark := inner.search(text, position):
        position = mark.end()
        if mark[0] == _CALL:
            position = _end_of_value(text, position) if misses < _MAX_MISSES else position
            misses += position == mark.end()
        elif _is_quoted(text, *mark.span()):
            continue
        elif mark[0] == marks.opening:
            depth += 1
        elif depth == (1 if is_open else 0):
            return position
        else:
            first = first or position
            depth -= 1
    return first if is_open else None


def _is_quoted(text: str, start: int, end: int) -> bool:
    return text[start - 1 : start] == "`" and text.startswith("`", end)


def _end_of_value(text: str, position: int) -> int:
    try:
        return _DECODER.raw_decode(text, _end_of_blanks(text, position))[1]
    except (ValueError, RecursionError):
        return position


def _behind_further_marks(text: str, end: int, marks: _Marks) -> int:
    while True:
        start = _end_of_blanks(text, end)
        if text.startswith(marks.opening, start):
            closing = text.find(marks.closing, start)
            end = len(text) if closing < 0 else closing + len(marks.closing)
        elif text.startswith(marks.closing, start):
            end = start + len(marks.closing)
        elif marks.head and text.startswith(marks.head, start):
            return start + len(marks.head)
        else:
            return end


def _end_of_blanks(text: str, position: int) -> int:
    mark = _BLANKS.match(text, position)
    return mark.end() if mark else position
