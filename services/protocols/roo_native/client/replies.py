"""What the client says to an answer: the result of each call, or that there was none."""

from __future__ import annotations

from services.protocols.roo_native.prompt import environment
from services.protocols.turn import ClientState, Message, TurnOutcome

_NO_TOOL = """\
Your answer called no function, so nothing happened. Every answer must make at least one call, through the calling \
mechanism of your provider; calls written as text, in XML tags or in a code fence, do not count.

What to do now:
- If the task is done, call attempt_completion.
- If you lack something that only the user knows, call ask_followup_question.
- Otherwise take the next step with the function that fits it.

(Nobody wrote this message by hand; do not answer it in words.)"""

_GUIDANCE = """\
Several of your answers in a row could not be used. The user says: go one small step at a time, check the arguments \
against the function's definition, and read the file again before you change it."""

_NO_RESULT = "(The tool returned nothing.)"


def replies(state: ClientState, outcome: TurnOutcome) -> list[Message]:
    """Return the messages that follow an answer: one result per call, then the user's with the environment.

    Guidance comes along once the mistake limit is reached. There is nothing after an answer that was empty, which the
    client asks for once more.
    """
    if "empty_answer" in outcome.codes:
        return []
    messages: list[Message] = [
        {"role": "tool", "tool_call_id": call.call_id, "content": call.reply or _NO_RESULT} for call in outcome.calls
    ]
    parts = [] if outcome.calls else [_NO_TOOL]
    if 0 < state.mistake_limit <= state.mistakes:
        parts.append(_GUIDANCE)
    parts.append(environment(state.mode, state.todos or ()))
    return [*messages, {"role": "user", "content": "\n\n".join(parts)}]
