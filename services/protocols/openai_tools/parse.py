"""Calls that a model writes as text, and raw arguments as values."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from services.protocols.cases.fields import MAX_DEPTH, depth_of
from services.protocols.javascript import trim
from services.protocols.turn import Answer, FinishReason, ToolCall
from services.protocols.verdict import Fault

MAX_CHARACTERS = 1 << 20
"""A longer answer is not read."""

OPEN, CLOSE = "<tool_call>", "</tool_call>"
_THINK_OPEN, _THINK_CLOSE = "<think>", "</think>"
_NAME = re.compile(r'"name"\s*:\s*"([^"\\]{1,64})"')


class BadArguments(ValueError):
    """Raw arguments are no JSON object.

    Attributes:
        fault: what is wrong with them.
    """

    def __init__(self, fault: Fault, problem: str) -> None:
        super().__init__(problem)
        self.fault = fault


def read_answer(text: str, finish_reason: FinishReason = "stop") -> Answer:
    """Return the answer with the calls that its text writes as `<tool_call>{"name", "arguments"}</tool_call>`.

    A call ends at the first closing tag, or with the text. What stands in a `<think>` block at the very start is no
    call. A body that is no JSON object gives a call whose arguments are that body. The text stays whole.
    """
    calls: list[ToolCall] = []
    place = _after_reasoning(text) if len(text) <= MAX_CHARACTERS else len(text)
    while (start := text.find(OPEN, place)) >= 0:
        close = text.find(CLOSE, start)
        body = text[start + len(OPEN) : close if close >= 0 else len(text)]
        place = close + len(CLOSE) if close >= 0 else len(text)
        calls.append(replace(_call(trim(body)), span=(start, place)))
    return Answer(text, tuple(calls), finish_reason)


def as_functions(answer: Answer) -> Answer:
    """Return the answer with its written calls beside the text instead of in it."""
    text, end = "", 0
    for call in answer.calls:
        if call.span:
            text += answer.text[end : call.span[0]]
            end = call.span[1]
    calls = tuple(replace(call, span=None) for call in answer.calls)
    return replace(answer, text=trim(text + answer.text[end:]), calls=calls)


def as_text(answer: Answer) -> Answer:
    """Return the answer with the calls that stand beside its text written into it, as `read_answer` reads them."""
    beside = [call for call in answer.calls if call.span is None]
    if not beside:
        return answer
    written = "\n".join(_written_raw(call) for call in beside)
    return read_answer(f"{answer.text}\n{written}" if answer.text else written, answer.finish_reason)


def _written_raw(call: ToolCall) -> str:
    name = json.dumps(call.name, ensure_ascii=False)
    return f'{OPEN}\n{{"name": {name}, "arguments": {call.arguments or "{}"}}}\n{CLOSE}'


def written_call(name: str, arguments: object) -> str:
    """Return a call as `read_answer` reads it."""
    return f"{OPEN}\n{json.dumps({'name': name, 'arguments': arguments}, ensure_ascii=False)}\n{CLOSE}"


def arguments_of(raw: str) -> dict[str, object]:
    """Return the value of raw arguments; blank text is no arguments.

    Raises:
        BadArguments: they are no JSON, or no object.
    """
    if not trim(raw):
        return {}
    try:
        found = json.loads(raw, parse_constant=_refuse)
    except RecursionError as error:
        raise BadArguments(Fault.BAD_JSON, "nested too deep") from error
    except ValueError as error:
        raise BadArguments(Fault.BAD_JSON, str(error)) from error
    if depth_of(found, MAX_DEPTH) > MAX_DEPTH:
        raise BadArguments(Fault.BAD_JSON, f"nested deeper than {MAX_DEPTH} levels")
    if not isinstance(found, dict):
        raise BadArguments(Fault.NOT_AN_OBJECT, f"{type(found).__name__} instead of an object")
    return found


def _after_reasoning(text: str) -> int:
    if not text.startswith(_THINK_OPEN):
        return 0
    end = text.find(_THINK_CLOSE)
    return len(text) if end < 0 else end + len(_THINK_CLOSE)


def _call(body: str) -> ToolCall:
    try:
        found = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict) and isinstance(found.get("name"), str):
        arguments = found.get("arguments", {})
        raw = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        return ToolCall(found["name"], raw)
    name = _NAME.search(body)
    return ToolCall(name[1] if name else "", body or "null")


def _refuse(name: str) -> object:
    raise ValueError(f"{name} is no JSON")
