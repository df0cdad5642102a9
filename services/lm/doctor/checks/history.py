"""Whether an answered prompt begins with the prompt: what is trained and cached must not be rewritten later."""

from __future__ import annotations

from collections.abc import Iterator

from services.lm.doctor.checks.probes import ANSWER, CALL, FUNCTION, NEXT, RESULT, SYSTEM, USER
from services.lm.doctor.nouns import Conversation, Finding, excerpt, first_difference
from services.lm.doctor.subject import Subject

_SEVERAL = Conversation("two questions", (SYSTEM, USER, ANSWER, NEXT))
_CALLING = Conversation("a call and its result", (SYSTEM, USER, CALL, RESULT, ANSWER), (FUNCTION,))
_THOUGHT = "Tango seventeen"


def check_generation_prompt(subject: Subject) -> Iterator[Finding]:
    """The beginning of the answer is written when it is not asked for, or never, or not as answers begin."""
    asked, answered = subject.render([USER], asks=True), subject.render([USER, ANSWER])
    plain, going_on = subject.render([USER]), subject.render([USER, ANSWER, NEXT])
    if None in (asked, answered, plain, going_on) or ANSWER["content"] not in (answered or ""):
        return
    assert asked is not None and answered is not None and plain is not None and going_on is not None
    if asked != plain:
        yield from _beginning(asked, answered, plain)
    elif not answered.startswith(plain) or answered[len(plain) :].lstrip().startswith(ANSWER["content"]):
        tail = answered.partition(ANSWER["content"])[2]
        if not going_on.partition(ANSWER["content"])[2].startswith(tail):
            yield Finding(
                "generation_prompt_always",
                "error",
                "The chat template begins an answer even when none is asked for, so that each trained example ends "
                "with an empty answer.",
                "Put the last block within `{% if add_generation_prompt %}`.",
                excerpt(answered[-200:]),
            )
    else:
        yield Finding(
            "no_generation_prompt",
            "error",
            "The chat template does not begin the answer when it is asked to, so that the model goes on with the "
            "user's turn.",
            "End the template with `{% if add_generation_prompt %}` and what stands before an answer.",
            excerpt(plain[-200:]),
        )


def _beginning(asked: str, answered: str, plain: str) -> Iterator[Finding]:
    if not answered.startswith(plain):
        return
    if not answered.startswith(asked):
        problem = "The chat template begins an answer otherwise than it writes answers, so that none can be trained."
    elif answered[len(asked) :].startswith(ANSWER["content"]):
        return
    else:
        problem = "The chat template puts characters between the beginning of an answer and its text."
    yield Finding(
        "answer_does_not_follow",
        "error" if not answered.startswith(asked) else "warning",
        problem,
        "Let the generation prompt be exactly what the template writes before an answer's text.",
        excerpt(answered, first_difference(asked, answered)),
    )


def check_history(subject: Subject) -> Iterator[Finding]:
    """What stands before an answer changes once the conversation goes on."""
    own = (_SEVERAL, _CALLING) if subject.native else (_SEVERAL,)
    for conversation in (*own, *subject.conversations):
        rewritten = _first_rewritten(subject, conversation)
        if rewritten:
            yield Finding(
                "history_rewritten",
                "error",
                "The chat template writes earlier turns differently once the conversation goes on "
                f"({conversation.name}).",
                "Let what the template writes for a message depend on that message and those before it alone.",
                rewritten,
            )
            return


def _first_rewritten(subject: Subject, conversation: Conversation) -> str:
    whole = subject.render(conversation.messages, tools=conversation.tools)
    if whole is None:
        return ""
    for place in conversation.answers:
        for end in (place, place + 1):
            part = subject.render(conversation.messages[:end], tools=conversation.tools)
            if part is not None and not whole.startswith(part.rstrip()):
                return excerpt(whole, first_difference(part, whole))
    return ""


def check_thinking(subject: Subject) -> Iterator[Finding]:
    """Reasoning in earlier answers is taken out."""
    thinking = {"role": "assistant", "content": f"<think>\n{_THOUGHT}\n</think>\n\n{ANSWER['content']}"}
    text = subject.render([USER, thinking, NEXT])
    if text is not None and ANSWER["content"] in text and _THOUGHT not in text:
        yield Finding(
            "thinking_stripped",
            "warning",
            "The chat template takes the reasoning out of earlier answers, so that a turn is read differently later "
            "than it was written.",
            "Train and serve without reasoning, or keep it in the template.",
            excerpt(text, text.index(ANSWER["content"])),
        )
