"""Why does an answer hold no call that the client sees?"""

from __future__ import annotations

import re

from services.protocols.javascript import trim
from services.protocols.roo_xml.tools import PARAMETER_NAMES, TOOL_NAMES
from services.protocols.session.foreign_forms import foreign_form
from services.protocols.verdict import Fault, Span

_TOOLS = "|".join(TOOL_NAMES)
_BAD_TAG = re.compile(rf"</?\s*(?:{_TOOLS})(?:[\s/][^<>]*)?>", re.IGNORECASE)
_FOREIGN_FORMS = (
    r"<(?:invoke|function|function_calls?|tool_calls?|tool_use|tool|tool_code|parameter)\b[^<>]*>",
    r"<\|?/?tool[_▁ ]?calls?[^<>]*>",
    r"\[TOOL_CALLS?\]",
    r"""["'](?:name|tool|tool_name|function|action|arguments|parameters|input)["']\s*:\s*["'{\[]""",
    rf"\b(?:{_TOOLS})\s*\(",
)
_FOREIGN = re.compile("|".join(_FOREIGN_FORMS))
_TAG = re.compile(r"<([A-Za-z][A-Za-z0-9_.-]*)>")
_CLOSING_TAG = re.compile(r"</([A-Za-z][A-Za-z0-9_.-]*)>")
_UNFINISHED_TAG = re.compile(r"</?[a-z_]*\Z")
_MARKUP = frozenset(
    (
        *("a", "b", "i", "u", "p", "br", "hr", "em", "li", "ol", "ul", "td", "th", "tr", "dl", "dt", "dd", "pre"),
        *(
            "div",
            "img",
            "nav",
            "code",
            "span",
            "main",
            "body",
            "head",
            "html",
            "link",
            "meta",
            "form",
            "label",
            "input",
        ),
        *("table", "tbody", "thead", "small", "style", "title", "strong", "script", "button", "header", "footer"),
        *("section", "article", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "details", "summary", "svg", "kbd"),
        *("sub", "sup", "think", "thinking", "reasoning"),
    )
)
"""Tags of text and of reasoning, which nobody means as calls."""


def absence_of_call(answer: str, *, cut: bool) -> tuple[Fault, str, Span | None]:
    """Return the fault of an answer without a call, one sentence on it, and its place in `answer`.

    Args:
        answer: the text in which the client sees no call.
        cut: the token limit ended the answer.
    """
    if not trim(answer):
        return Fault.EMPTY_ANSWER, "The answer is empty.", None
    if found := _BAD_TAG.search(answer):
        sentence = f"The tag {_shown(found[0])} is not in the form <tool_name>, so the client sees no call."
        return Fault.BAD_TAG, sentence, found.span()
    if found := _FOREIGN.search(answer):
        sentence = f"The answer calls a tool in another protocol's form ({_shown(found[0])})."
        return Fault.FOREIGN_FORM, sentence, found.span()
    if fault := _unknown_tag(answer):
        return fault
    if cut and (found := _UNFINISHED_TAG.search(answer)):
        return Fault.CUT_OFF, "The token limit cut the answer before the call.", found.span()
    return Fault.NO_CALL, "The answer is plain text without a tool call.", None


def broken_call(answer: str) -> tuple[Fault, str, Span | None] | None:
    """Return the fault of an answer that must not call and tries to, in a form that is no call; None when it does not.

    Words that only mention a tool are no such try.
    """
    found = _BAD_TAG.search(answer) or foreign_form(answer, TOOL_NAMES)
    if not found:
        return None
    sentence = f"The answer tries a call ({_shown(found[0])}) where none is due."
    return Fault.FOREIGN_FORM, sentence, found.span()


def _unknown_tag(answer: str) -> tuple[Fault, str, Span | None] | None:
    closed = set(_CLOSING_TAG.findall(answer))
    for found in _TAG.finditer(answer):
        if found[1].lower() in _MARKUP:
            continue
        if found[1] in PARAMETER_NAMES:
            return Fault.BAD_TAG, f"<{found[1]}> stands there without a tool around it.", found.span()
        if found[1] in closed or "_" in found[1]:
            return Fault.UNKNOWN_NAME, f"There is no tool named {found[1]!r}.", found.span()
    return None


def _shown(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
