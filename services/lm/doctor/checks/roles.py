"""Whether the system's text is kept, and which orders of roles are taken."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from services.lm.doctor.checks.probes import NEXT, SYSTEM, USER
from services.lm.doctor.nouns import Finding, Severity, excerpt
from services.lm.doctor.subject import Subject


def check_system_role(subject: Subject) -> Iterator[Finding]:
    """The system's text is refused, left out, or run together with the user's."""
    text = subject.render([SYSTEM, USER])
    if text is None:
        yield Finding(
            "system_refused",
            "error",
            "The chat template refuses a system message, in which the protocol's rules stand.",
            "Use a template that renders the system role.",
            excerpt(subject.refusal([SYSTEM, USER])),
        )
    elif SYSTEM["content"] not in text:
        yield Finding(
            "system_dropped",
            "error",
            "The chat template leaves the system message out, so that the model never sees the protocol's rules.",
            "Add a branch for the system role to the template.",
            excerpt(text),
        )
    elif _runs_together(text):
        yield Finding(
            "system_merged",
            "warning",
            "The chat template puts the system's text into the user's turn with nothing to tell them apart.",
            "Give the system message a turn of its own, or mark where it ends.",
            excerpt(text, text.index(SYSTEM["content"])),
        )


def check_alternation(subject: Subject) -> Iterator[Finding]:
    """Two messages of the user in a row are refused."""
    if subject.render([USER]) is None or subject.render([USER, NEXT]) is not None:
        return
    asked = (*subject.conversations, *(conversation for conversation, _ in subject.refused))
    roles = [[message["role"] for message in conversation.messages] for conversation in asked]
    needed = any(pair == ("user", "user") for each in roles for pair in pairwise(each))
    severity: Severity = "error" if needed else "warning"
    yield Finding(
        "demands_alternation",
        severity,
        "The chat template refuses two messages of the user in a row.",
        "Remove the check of the roles' order from the template.",
        excerpt(subject.refusal([USER, NEXT])),
    )


def check_conversations(subject: Subject) -> Iterator[Finding]:
    """A conversation of the protocol is refused."""
    for conversation, reason in subject.refused[:1]:
        yield Finding(
            "conversation_refused",
            "error",
            f"The chat template refuses {len(subject.refused)} of the protocol's conversations, "
            f"first: {conversation.name}.",
            "Use a template that renders the roles system, user, assistant and, with functions, tool.",
            excerpt(reason),
        )


def _runs_together(text: str) -> bool:
    between = text.partition(SYSTEM["content"])[2].partition(USER["content"])
    return bool(between[1]) and not between[0].strip()
