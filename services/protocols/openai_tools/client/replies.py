"""What the model gets to read after its answer."""

from __future__ import annotations

from services.protocols.turn import ClientState, Message, TurnOutcome

_EMPTY = "Your answer was empty. Call a function, or answer in plain text."


def replies(state: ClientState, outcome: TurnOutcome) -> list[Message]:
    """Return one message of the role `tool` per call, in order; a reminder when the answer was empty."""
    if not outcome.used_tool:
        return [] if outcome.completed is not None else [{"role": "user", "content": _EMPTY}]
    return [{"role": "tool", "tool_call_id": call.call_id, "content": call.reply} for call in outcome.calls]
