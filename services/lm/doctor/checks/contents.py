"""Whether contents pass through the template unchanged: white space and markup matter in files and diffs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from services.lm.doctor.checks.probes import ANSWER, CALL, FUNCTION, NEXT, SYSTEM, USER, Turn
from services.lm.doctor.nouns import Finding, excerpt
from services.lm.doctor.subject import Subject

_EDGES = "  \tUniform eighteen  \n\n"
_LINE_ENDS = "Victor\r\nnineteen"
_MARKUP = "Whiskey <a href=\"x\">&amp; 'q' \\n \\\\ é {{ }} twenty"


def check_edges(subject: Subject) -> Iterator[Finding]:
    """White space at the edges of contents is taken away."""
    changed = _roles_that_change(subject, _EDGES)
    if changed:
        yield Finding(
            "contents_stripped",
            "warning",
            f"The chat template strips white space at the edges of contents ({', '.join(changed)}), which changes "
            "indentation and final line ends.",
            "Take `| trim` and `.strip()` out of the template.",
            excerpt(repr(changed[next(iter(changed))])),
        )


def check_line_ends(subject: Subject) -> Iterator[Finding]:
    """Line ends within contents change."""
    changed = _roles_that_change(subject, _LINE_ENDS)
    if changed:
        yield Finding(
            "line_ends_changed",
            "warning",
            f"The chat template changes line ends within contents ({', '.join(changed)}), so that files with CRLF "
            "cannot be edited exactly.",
            "Write contents as they are, without splitting them into lines.",
            excerpt(repr(changed[next(iter(changed))])),
        )


def check_markup(subject: Subject) -> Iterator[Finding]:
    """Quotes, brackets or backslashes within contents are escaped."""
    changed = _roles_that_change(subject, _MARKUP)
    if changed:
        yield Finding(
            "contents_escaped",
            "error",
            f"The chat template escapes quotes, brackets or backslashes within contents ({', '.join(changed)}).",
            "Take `| e`, `| escape` and `| tojson` off the contents in the template.",
            excerpt(changed[next(iter(changed))]),
        )


def _roles_that_change(subject: Subject, content: str) -> dict[str, str]:
    """Roles whose content is not found as it was given, each with what was rendered of it."""
    changed = {}
    for role, messages in _placed(content, native=subject.native).items():
        text = subject.render(messages, tools=(FUNCTION,) if role == "tool" else ())
        # A content that is left out altogether is what other checks find.
        words = re.findall(r"\w{6,}", content)
        if text is not None and content not in text and all(word in text for word in words):
            changed[role] = excerpt(text, text.index(words[0]))
    return changed


def _placed(content: str, *, native: bool) -> dict[str, list[Turn]]:
    places: dict[str, list[Turn]] = {
        "system": [{**SYSTEM, "content": content}, USER],
        "user": [{**USER, "content": content}],
        "assistant": [USER, {**ANSWER, "content": content}, NEXT],
    }
    if native:
        places["tool"] = [USER, CALL, {"role": "tool", "tool_call_id": "call00001", "content": content}]
    return places
