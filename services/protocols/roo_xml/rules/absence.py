"""Calls that an answer tries in a form in which the client sees none."""

import re

from services.protocols.judging.layers import Flaw
from services.protocols.roo_xml.editions import REFERENCE
from services.protocols.roo_xml.tools import TOOLS
from services.protocols.session.foreign_forms import foreign_form
from services.protocols.verdict import Fault

_BAD_TAG = re.compile(rf"</?\s*(?:{'|'.join(TOOLS)})(?:[\s/][^<>]*)?>", re.IGNORECASE)
_TAG = re.compile(r"<([A-Za-z][A-Za-z0-9_.-]*)>")
_CLOSING_TAG = re.compile(r"</([A-Za-z][A-Za-z0-9_.-]*)>")
_UNFINISHED_TAG = re.compile(r"</?[a-z_]*\Z")
_MARKUP = frozenset(
    (
        *("a", "b", "i", "u", "p", "br", "hr", "em", "li", "ol", "ul", "td", "th", "tr", "dl", "dt", "dd", "pre"),
        *("div", "img", "nav", "code", "span", "main", "body", "head", "html", "link", "meta", "form", "label"),
        *("table", "tbody", "thead", "small", "style", "title", "strong", "script", "button", "header", "footer"),
        *("section", "article", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "details", "summary", "svg", "kbd"),
        *("input", "sub", "sup", "think", "thinking", "reasoning"),
    )
)
"""Tags of text and of reasoning, which nobody means as calls."""


def written_call(text: str) -> Flaw | None:
    """Return the flaw of a tag of a tool that is not written as it must be, or of a call in another protocol's form.

    Words that only mention a tool are no such try.
    """
    if match := _BAD_TAG.search(text):
        sentence = f"The tag {_shown(match[0])} is not in the form <tool_name>, so the client sees no call."
        return Flaw(Fault.BAD_TAG, sentence, match.span())
    if match := foreign_form(text, TOOLS):
        sentence = f"The answer calls a tool in another protocol's form ({_shown(match[0])})."
        return Flaw(Fault.FOREIGN_FORM, sentence, match.span())
    return None


def attempted_call(text: str, *, is_cut: bool) -> Flaw | None:
    """Return the flaw of the first call that a text tries, an unknown or unfinished tag included.

    Args:
        text: the text in which the client sees no call.
        is_cut: the token limit ended it.
    """
    if flaw := written_call(text) or _unknown_tag(text):
        return flaw
    if is_cut and (match := _UNFINISHED_TAG.search(text)):
        return Flaw(Fault.CUT_OFF, "The token limit cut the answer before the call.", match.span())
    return None


def _unknown_tag(text: str) -> Flaw | None:
    closed = set(_CLOSING_TAG.findall(text))
    for tag in _TAG.finditer(text):
        if tag[1].lower() in _MARKUP:
            continue
        if tag[1] in REFERENCE.parameters:
            return Flaw(Fault.BAD_TAG, f"<{tag[1]}> stands there without a tool around it.", tag.span())
        if tag[1] in closed or "_" in tag[1]:
            return Flaw(Fault.UNKNOWN_TOOL, f"There is no tool named {tag[1]!r}.", tag.span())
    return None


def _shown(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
