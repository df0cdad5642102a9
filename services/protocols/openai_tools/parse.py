"""Calls that a model writes as text, and raw arguments as values."""

import json
import re
from dataclasses import replace

from services.protocols.cases.fields import MAX_DEPTH, depth_of
from services.protocols.javascript.text import trim
from services.protocols.session.reasoning import answer_start
from services.protocols.session.written_calls import CLOSE, OPEN, load_json, raw_arguments
from services.protocols.turn import Answer, FinishReason, ToolCall
from services.protocols.verdict import Fault

MAX_CHARACTERS = 1 << 20
"""A longer answer is not read."""

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

    A call ends at the first closing tag, or with the text. What stands in a block of reasoning at the start is no call.
    A body that is no JSON object gives a call whose arguments are that body, and one whose object has another form a
    call whose arguments are that body behind the opening tag, which nothing takes for arguments. The text stays whole.
    """
    calls: list[ToolCall] = []
    place = answer_start(text) if len(text) <= MAX_CHARACTERS else len(text)
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
        BadArguments: they are no JSON or no object, one of them is there twice with different values, or they are those
            of a call in a form that the client does not read.
    """
    if not trim(raw):
        return {}
    if raw.startswith(OPEN):
        raise BadArguments(Fault.FOREIGN_FORM, "only name and arguments are read")
    try:
        value = load_json(raw)
    except RecursionError as error:
        raise BadArguments(Fault.BAD_JSON, "nested too deep") from error
    except ValueError as error:
        raise BadArguments(Fault.BAD_JSON, str(error)) from error
    if depth_of(value, MAX_DEPTH) > MAX_DEPTH:
        raise BadArguments(Fault.BAD_JSON, f"nested deeper than {MAX_DEPTH} levels")
    if not isinstance(value, dict):
        raise BadArguments(Fault.NOT_AN_OBJECT, f"{type(value).__name__} instead of an object")
    return value


def _call(body: str) -> ToolCall:
    try:
        value = load_json(body)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict) and (raw := raw_arguments(value)) is not None:
        return ToolCall(value["name"], raw)
    name = _NAME.search(body)
    return ToolCall(name[1] if name else "", f"{OPEN}{body}" if isinstance(value, dict) else body or "null")
