"""What the client says to an answer: the results of its calls, or that there was none."""

from __future__ import annotations

from collections.abc import Iterator

from services.protocols.roo_xml.client.environment import environment
from services.protocols.turn import CallOutcome, ClientState, Message, TurnOutcome

_NO_TOOL = """\
Your answer called no tool, so nothing happened. Every answer must end with one call.

A call is written in tags, the tool's name around one element per parameter:

<tool_name>
<parameter_name>value</parameter_name>
</tool_name>

What to do now:
- If the task is done, call attempt_completion.
- If you lack something that only the user knows, call ask_followup_question.
- Otherwise take the next step with the tool that fits it.

(Nobody wrote this message by hand; do not answer it in words.)"""

_GUIDANCE = """\
Several of your answers in a row could not be used. The user says: go one small step at a time, check the tool's \
parameters against its description, and read the file again before you change it."""


def replies(state: ClientState, outcome: TurnOutcome) -> list[Message]:
    """Return the message that follows an answer: results, guidance once the mistake limit is reached, environment.

    There is none after a completion to which nothing is said, nor after an answer that was empty or too long, which the
    client asks for once more.
    """
    parts = list(_parts(outcome))
    if not parts:
        return []
    if 0 < state.mistake_limit <= state.mistakes:
        parts.append(_GUIDANCE)
    parts.append(environment(state.mode, todos=state.todos or (), mcp=state.mcp))
    return [{"role": "user", "content": "\n\n".join(parts)}]


def _parts(outcome: TurnOutcome) -> Iterator[str]:
    if "no_tool" in outcome.codes:
        yield _NO_TOOL
    yield from (_part(call) for call in outcome.calls if call.reply)


def _part(call: CallOutcome) -> str:
    return f"{call.title} Result:\n\n{call.reply}" if call.title else call.reply
