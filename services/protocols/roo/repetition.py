"""The same call again and again: the client refuses it and asks the user."""

from __future__ import annotations

from services.protocols.turn import ClientState


def is_repeated_too_often(state: ClientState, call: str) -> bool:
    """Note `call` in `state` and return whether it is one too many in a row; counting starts anew after that.

    Args:
        state: its `mistake_limit` is the number of identical calls that pass; 0 stands for no limit.
        call: the call's canonical form.
    """
    if call == state.last_call:
        state.identical_calls += 1
    else:
        state.last_call, state.identical_calls = call, 1
    if not 0 < state.mistake_limit < state.identical_calls:
        return False
    state.last_call, state.identical_calls = "", 0
    return True
