"""Function calls that a model's template writes into its text: `<tool_call>{"name": …, "arguments": …}</tool_call>`."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace

from services.protocols.javascript.text import trim
from services.protocols.roo_native.parse.values import write_json
from services.protocols.session.reasoning import answer_start
from services.protocols.session.written_calls import CLOSE as CLOSING
from services.protocols.session.written_calls import OPEN as OPENING
from services.protocols.session.written_calls import load_json_at, raw_arguments
from services.protocols.turn import Answer, FinishReason, ToolCall

_BLANKS = re.compile(r"[ \t\r\n]*")
_NAME = re.compile(r'"name"\s*:\s*"([^"\\]*)"')
_ARGUMENTS = re.compile(r'"arguments"\s*:\s*')


def text_of_call(name: str, arguments: Mapping[str, object]) -> str:
    """Return a call as text; `answer_from_text` reads it."""
    return f"{OPENING}\n{json.dumps({'name': name, 'arguments': dict(arguments)}, ensure_ascii=False)}\n{CLOSING}"


def with_calls_in_text(answer: Answer) -> Answer:
    """Return `answer` with the calls that stand beside its text written into it, as `answer_from_text` reads them.

    Arguments that are no JSON object stay as they are written.
    """
    beside = [call for call in answer.calls if call.span is None]
    if not beside:
        return answer
    written = "\n".join(map(_text_of_raw_call, beside))
    return answer_from_text(f"{answer.text}\n{written}" if answer.text else written, answer.finish_reason)


def answer_from_text(text: str, finish_reason: FinishReason = "stop") -> Answer:
    """Return the answer that a model gave as text: its calls in order, with their places.

    A block of reasoning at the start is no part of the answer. A call that is not closed counts as if it were, and
    one that is no JSON keeps the name and the raw arguments that can be made out, so that it is judged as a bad call.
    Where those would read as whole arguments though the call is broken, they are the call's body; where the object of
    the call has another form, that body behind the opening tag, which nothing takes for arguments. The text stays
    whole.
    """
    position = answer_start(text)
    calls: list[ToolCall] = []
    while (start := text.find(OPENING, position)) >= 0:
        call, position = _read_call(text, start)
        calls.append(call)
    return Answer(text, tuple(calls), finish_reason)


def text_outside_calls(answer: Answer) -> str:
    """Return the text of `answer` with blanks where calls stand, and reasoning at its start; places stay the same."""
    hidden = [(0, answer_start(answer.text)), *(call.span for call in answer.calls if call.span)]
    if len(hidden) == 1 and not hidden[0][1]:
        return answer.text
    parts: list[str] = []
    position = 0
    for first, end in hidden:
        parts += answer.text[position:first], " " * (end - first)
        position = end
    return "".join((*parts, answer.text[position:]))


def with_calls_beside(answer: Answer) -> Answer:
    """Return `answer` with the calls that its text holds beside the text."""
    calls = tuple(replace(call, span=None) for call in answer.calls)
    return replace(answer, text=trim(text_outside_calls(answer)), calls=calls)


def _text_of_raw_call(call: ToolCall) -> str:
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        # No brace closes what was broken off.
        name = json.dumps(call.name, ensure_ascii=False)
        return f'{OPENING}\n{{"name": {name}, "arguments": {call.arguments}\n{CLOSING}'
    if isinstance(arguments, dict):
        return text_of_call(call.name, arguments)
    body = json.dumps({"name": call.name, "arguments": arguments}, ensure_ascii=False)
    return f"{OPENING}\n{body}\n{CLOSING}"


def _read_call(text: str, start: int) -> tuple[ToolCall, int]:
    body = _end_of_blanks(text, start + len(OPENING))
    try:
        value, end = load_json_at(text, body)
    except (ValueError, RecursionError):
        return _unreadable_call(text, start, body)
    end = _end_of_blanks(text, end)
    is_closed = text.startswith(CLOSING, end)
    if not isinstance(value, dict) or not isinstance(value.get("name"), str) or not (is_closed or end == len(text)):
        return _unreadable_call(text, start, body)
    raw = raw_arguments(value, write=write_json)
    after = end + len(CLOSING) * is_closed
    return ToolCall(value["name"], f"{OPENING}{text[body:end]}" if raw is None else raw, span=(start, after)), after


def _unreadable_call(text: str, start: int, body: int) -> tuple[ToolCall, int]:
    closing = text.find(CLOSING, body)
    end = len(text) if closing < 0 else closing
    inside = text[body:end]
    name, arguments = _NAME.search(inside), _ARGUMENTS.search(inside)
    raw = trim(inside[arguments.end() :] if arguments else inside)
    if name and _is_whole(raw):
        raw = f"{OPENING}{inside}" if _is_whole(inside) else inside
    after = end if closing < 0 else closing + len(CLOSING)
    return ToolCall(name[1] if name else "", raw, span=(start, after)), after


def _is_whole(raw: str) -> bool:
    try:
        json.loads(raw or "{}")
    except (ValueError, RecursionError):
        return False
    return True


def _end_of_blanks(text: str, position: int) -> int:
    blanks = _BLANKS.match(text, position)
    return blanks.end() if blanks else position
