"""Whether an answered prompt begins with the prompt: what is trained and cached must not be rewritten later."""

from collections.abc import Iterator

from services.lm.doctor.diagnosis import Conversation, Finding, Severity, excerpt, first_difference
from services.lm.doctor.subject import ANSWER, CALL, FUNCTION, NEXT, RESULT, SYSTEM, USER, Subject, finding

_SEVERAL = Conversation("two questions", (SYSTEM, USER, ANSWER, NEXT))
_CALLING = Conversation("a call and its result", (SYSTEM, USER, CALL, RESULT, ANSWER), (FUNCTION,))
_THOUGHT = "Tango seventeen"


def check_generation_prompt(subject: Subject) -> Iterator[Finding]:
    """The beginning of the answer is written when it is not asked for, or never, or not as answers begin."""
    prompted, answered = subject.render([USER], asks=True), subject.render([USER, ANSWER])
    plain, continued = subject.render([USER]), subject.render([USER, ANSWER, NEXT])
    if None in (prompted, answered, plain, continued) or ANSWER["content"] not in (answered or ""):
        return
    assert prompted is not None and answered is not None and plain is not None and continued is not None
    if prompted != plain:
        yield from _beginning(prompted, answered, plain)
    elif not answered.startswith(plain) or answered[len(plain) :].lstrip().startswith(ANSWER["content"]):
        tail = answered.partition(ANSWER["content"])[2]
        if not continued.partition(ANSWER["content"])[2].startswith(tail):
            yield finding("generation_prompt_always", excerpt(answered[-200:]))
    else:
        yield finding("no_generation_prompt", excerpt(plain[-200:]))


def _beginning(prompted: str, answered: str, plain: str) -> Iterator[Finding]:
    is_other = not answered.startswith(prompted)
    if not answered.startswith(plain) or (answered[len(prompted) :].startswith(ANSWER["content"]) and not is_other):
        return
    problem = (
        "begins an answer otherwise than it writes answers, so that none can be trained"
        if is_other
        else "puts characters between the beginning of an answer and its text"
    )
    evidence = excerpt(answered, first_difference(prompted, answered))
    severity: Severity = "error" if is_other else "warning"
    yield finding("answer_does_not_follow", evidence, severity=severity, problem=problem)


def check_history(subject: Subject) -> Iterator[Finding]:
    """What stands before an answer changes once the conversation goes on."""
    own = (_SEVERAL, _CALLING) if subject.native else (_SEVERAL,)
    for conversation in (*own, *subject.conversations):
        rewritten = _first_rewritten(subject, conversation)
        if rewritten:
            yield finding("history_rewritten", rewritten, conversation=conversation.name)
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
        yield finding("thinking_stripped", excerpt(text, text.index(ANSWER["content"])))
