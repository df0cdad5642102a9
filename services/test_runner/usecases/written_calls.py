"""Function calls that a model writes into its text, read once it is whole and kept back while it streams."""

import re
from collections.abc import Collection
from typing import Any

from services.protocols.openai_tools.parse import MAX_CHARACTERS, BadArguments, arguments_of, as_functions, read_answer
from services.protocols.session.reasoning import answer_start
from services.protocols.session.written_calls import OPEN, load_json, raw_arguments
from services.test_runner.domain.transcript import ToolCall

_FENCED = re.compile(r"\A```(?:json)?\s*\n(.*?)\n?```\Z", re.DOTALL)
_JSON_BEGINS = ("{", "[", "`")


def read_calls(text: str, names: Collection[str]) -> tuple[str, tuple[ToolCall, ...]]:
    """Return the text outside its calls, and the calls.

    A call is `<tool_call>{"name", "arguments"}</tool_call>`, or an answer that is, behind its reasoning, nothing but
    such an object of one of `names`, or a list of them; there the arguments may be called `parameters` as well. An
    answer with a call that cannot be read stays text.
    """
    answer = read_answer(text)
    if answer.calls:
        calls = tuple(ToolCall("", call.name, call.arguments) for call in answer.calls)
        return (as_functions(answer).text, calls) if all(map(_is_readable, calls)) else (text, ())
    start = answer_start(text) if len(text) <= MAX_CHARACTERS else len(text)
    bare = _bare_calls(text[start:], names)
    return (text[:start].strip(), bare) if bare else (text, ())


def _is_readable(call: ToolCall) -> bool:
    try:
        arguments_of(call.arguments)
    except BadArguments:
        return False
    return bool(call.name)


class CallGate:
    """Lets a stream's text through up to where a call may begin."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self._text = ""
        self._passed = 0

    def feed(self, delta: str) -> str:
        """Take the next piece and return what is surely no call."""
        self._text += delta
        end = max(self._passed, self._end_of_text()) if self._names else len(self._text)
        passed = self._text[self._passed : end]
        self._passed = end
        return passed

    def finish(self) -> tuple[str, tuple[ToolCall, ...]]:
        """Return the text that was kept back, and the calls."""
        outside, calls = read_calls(self._text, self._names) if self._names else (self._text, ())
        passed = self._text[: self._passed].lstrip() if calls else self._text[: self._passed]
        return outside[len(passed) :], calls

    def _end_of_text(self) -> int:
        if self._passed == 0 and self._text.lstrip().startswith(_JSON_BEGINS):
            return 0
        begin = self._text.find(OPEN, self._passed)
        if begin < 0:
            begin = len(self._text) - _partial(self._text)
        start = answer_start(self._text)
        if self._passed <= start < begin and self._text[start:].lstrip().startswith(_JSON_BEGINS):
            begin = start
        return len(self._text[:begin].rstrip())


def _partial(text: str) -> int:
    """Return how many of the last characters may be the beginning of a call."""
    return next((size for size in range(len(OPEN) - 1, 0, -1) if text.endswith(OPEN[:size])), 0)


def _bare_calls(text: str, names: Collection[str]) -> tuple[ToolCall, ...]:
    inner = text.strip()
    fenced = _FENCED.match(inner)
    inner = fenced[1] if fenced else inner
    if not inner.startswith(("{", "[")) or len(inner) > MAX_CHARACTERS:
        return ()
    try:
        document = load_json(inner)
    except (ValueError, RecursionError):
        return ()
    listed = document if isinstance(document, list) else [document]
    calls = [_bare_call(item, names) for item in listed]
    return tuple(call for call in calls if call) if all(calls) else ()


def _bare_call(result: Any, names: Collection[str]) -> ToolCall | None:
    raw = raw_arguments(result, ("arguments", "parameters")) if isinstance(result, dict) else None
    if raw is None or result["name"] not in names:
        return None
    call = ToolCall("", result["name"], raw)
    return call if _is_readable(call) else None
