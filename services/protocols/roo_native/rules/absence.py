"""Calls that a model writes where the client looks for none: in the text."""

from __future__ import annotations

import re
from collections.abc import Iterable

from services.protocols.javascript import trim
from services.protocols.roo_native.parse.text_form import text_outside_calls
from services.protocols.roo_native.tools import ALIASES, TOOLS
from services.protocols.session.foreign_forms import foreign_form
from services.protocols.turn import Answer
from services.protocols.verdict import Fault, Span

_FUNCTIONS = (*TOOLS, *ALIASES, "fetch_instructions")
_NAMES = "|".join(_FUNCTIONS)
_MARKUP = re.compile(rf"</?\s*(?:{_NAMES})(?:[\s/][^<>]*)?>", re.IGNORECASE)
_FOREIGN = re.compile(
    r"""</?(?:invoke|function|function_calls?|tool_calls?|tool_use|tool|tool_code|parameter)\b[^<>]*>"""
    r"""|<\|?/?tool[_▁ ]?calls?[^<>]*>|\[TOOL_CALLS?\]"""
    r"""|["'](?:name|tool|tool_name|function)["']\s*:\s*["'][^"'\n]{1,64}["']\s*,\s*["'](?:arguments|parameters|input)["']"""
    rf"""|\b(?:{_NAMES})\s*\(|^\s*\{{\s*["'](?:name|tool)["']\s*:"""
)


_Fault = tuple[Fault, str, Span | None]


def markup_in(text: str) -> Span | None:
    """Return the place of the first XML tag of a tool in `text`, or None."""
    found = _MARKUP.search(text)
    return found.span() if found else None


def absence_of_call(answer: Answer) -> _Fault:
    """Return the fault of an answer without a function call, one sentence on it, and its place in the text."""
    text = text_outside_calls(answer)
    if not trim(text):
        return Fault.EMPTY_ANSWER, "The answer is empty.", None
    if place := markup_in(text):
        return Fault.BAD_TAG, f"The tag {_shown(text, place)} is only text here; calls are not written as XML.", place
    if found := _FOREIGN.search(text):
        sentence = f"The answer writes a call into its text ({_shown(text, found.span())}), where the client sees none."
        return Fault.FOREIGN_FORM, sentence, found.span()
    if answer.finish_reason == "length":
        return Fault.CUT_OFF, "The token limit cut the answer before a call.", None
    return Fault.NO_CALL, "The answer is plain text without a function call.", None


def broken_call(answer: Answer, functions: Iterable[str]) -> _Fault | None:
    """Return the fault of an answer that must not call and tries to, in a form that is no call; None when it does not.

    Words that only mention a function are no such try.

    Args:
        answer: the answer, in which the client sees no call.
        functions: those that the model is offered beside the client's own.
    """
    text = text_outside_calls(answer)
    if not trim(text):
        return Fault.EMPTY_ANSWER, "The answer is empty.", None
    found = _MARKUP.search(text) or foreign_form(text, (*_FUNCTIONS, *functions))
    if not found:
        return None
    sentence = f"The answer writes a call into its text ({_shown(text, found.span())}), where none is due."
    return Fault.FOREIGN_FORM, sentence, found.span()


def _shown(text: str, place: Span) -> str:
    found = text[slice(*place)]
    return found if len(found) <= 40 else f"{found[:37]}..."
