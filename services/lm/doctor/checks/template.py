"""Whether the template renders, the same each time, and passes contents, roles and their order through unchanged."""

import re
from collections.abc import Iterator
from itertools import pairwise

from services.lm.doctor.diagnosis import Finding, excerpt, first_difference
from services.lm.doctor.subject import ANSWER, CALL, FUNCTION, NEXT, SYSTEM, USER, Subject, Turn, finding

_NUM_RENDERINGS = 8
_EDGES = "  \tUniform eighteen  \n\n"
_LINE_ENDS = "Victor\r\nnineteen"
_MARKUP = "Whiskey <a href=\"x\">&amp; 'q' \\n \\\\ é {{ }} twenty"


def check_template(subject: Subject) -> Iterator[Finding]:
    """No template, several of them, or one that fails on a plain question."""
    template = subject.tokenizer.chat_template
    if isinstance(template, dict):
        yield finding("several_templates", excerpt(", ".join(template)), count=len(template))
    if not template:
        yield finding("no_template")
    elif reason := subject.refusal([USER]):
        yield finding("template_broken", excerpt(reason))


def check_determinism(subject: Subject) -> Iterator[Finding]:
    """Two renderings of the same messages differ."""
    texts = [subject.render([USER]) or "" for _ in range(_NUM_RENDERINGS)]
    other = next((text for text in texts if text != texts[0]), None)
    if other is not None:
        yield finding("not_deterministic", excerpt(other, first_difference(texts[0], other)))


def check_clock(subject: Subject) -> Iterator[Finding]:
    """The rendered text holds the date or the time."""
    messages = [SYSTEM, USER] if subject.render([SYSTEM, USER]) else [USER]
    # A template that asks for the time fails when a text stands in the place of the clock.
    if subject.render(messages, strftime_now="") is None:
        yield finding("clock_in_prompt", excerpt(subject.render(messages) or ""))


def check_system_role(subject: Subject) -> Iterator[Finding]:
    """The system's text is refused, left out, or run together with the user's."""
    text = subject.render([SYSTEM, USER])
    if text is None:
        yield finding("system_refused", excerpt(subject.refusal([SYSTEM, USER])))
    elif SYSTEM["content"] not in text:
        yield finding("system_dropped", excerpt(text))
    elif _runs_together(text):
        yield finding("system_merged", excerpt(text, text.index(SYSTEM["content"])))


def check_alternation(subject: Subject) -> Iterator[Finding]:
    """Two messages of the user in a row are refused."""
    if subject.render([USER]) is None or subject.render([USER, NEXT]) is not None:
        return
    roles = [[message["role"] for message in conversation.messages] for conversation in subject.all_conversations]
    needed = any(pair == ("user", "user") for each in roles for pair in pairwise(each))
    yield finding(
        "demands_alternation", excerpt(subject.refusal([USER, NEXT])), severity="error" if needed else "warning"
    )


def check_conversations(subject: Subject) -> Iterator[Finding]:
    """A conversation of the protocol is refused."""
    for conversation, reason in subject.refused[:1]:
        yield finding(
            "conversation_refused", excerpt(reason), count=len(subject.refused), conversation=conversation.name
        )


def _runs_together(text: str) -> bool:
    between = text.partition(SYSTEM["content"])[2].partition(USER["content"])
    return bool(between[1]) and not between[0].strip()


def check_edges(subject: Subject) -> Iterator[Finding]:
    """White space at the edges of contents is taken away."""
    return _changed(subject, "contents_stripped", _EDGES)


def check_line_ends(subject: Subject) -> Iterator[Finding]:
    """Line ends within contents change."""
    return _changed(subject, "line_ends_changed", _LINE_ENDS)


def check_markup(subject: Subject) -> Iterator[Finding]:
    """Quotes, brackets or backslashes within contents are escaped."""
    return _changed(subject, "contents_escaped", _MARKUP)


def _changed(subject: Subject, code: str, content: str) -> Iterator[Finding]:
    """The finding with the roles whose content is not found as it was given, and what was rendered of the first."""
    excerpts = {}
    for role, messages in _with_content(content, native=subject.native).items():
        text = subject.render(messages, tools=(FUNCTION,) if role == "tool" else ())
        # A content that is left out altogether is what other checks find.
        words = re.findall(r"\w{6,}", content)
        if text is not None and content not in text and all(word in text for word in words):
            excerpts[role] = excerpt(text, text.index(words[0]))
    if excerpts:
        evidence = next(iter(excerpts.values()))
        # White space is seen in a literal only.
        evidence = evidence if content is _MARKUP else excerpt(repr(evidence))
        yield finding(code, evidence, roles=", ".join(excerpts))


def _with_content(content: str, *, native: bool) -> dict[str, list[Turn]]:
    places: dict[str, list[Turn]] = {
        "system": [{**SYSTEM, "content": content}, USER],
        "user": [{**USER, "content": content}],
        "assistant": [USER, {**ANSWER, "content": content}, NEXT],
    }
    if native:
        places["tool"] = [USER, CALL, {"role": "tool", "tool_call_id": "call00001", "content": content}]
    return places
