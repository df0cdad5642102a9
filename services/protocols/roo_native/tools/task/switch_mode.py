"""`switch_mode`: another mode."""

from __future__ import annotations

from services.protocols.roo.modes import find_mode
from services.protocols.roo_native.parse.values import text_of
from services.protocols.roo_native.tools.tool import Argument, Arguments, Call, Problem, Result, Tool, failed
from services.protocols.turn import ClientState
from services.protocols.verdict import Fault


def _switch(call: Call) -> Result:
    state, slug = call.state, text_of(call.arguments["mode_slug"])
    mode = find_mode(slug, state.custom_modes) if isinstance(call.arguments["mode_slug"], str) else None
    if mode is None:
        return _refusal("unknown_mode", f"There is no mode {slug!r}.")
    if slug == state.mode:
        return _refusal("same_mode", f"The mode is {mode.name} already.")

    def switch() -> str:
        state.mode = slug
        return f"The mode is now {mode.name}."

    return call.offered(switch)


def _refusal(code: str, sentence: str) -> Result:
    return failed(code, sentence, "reset", records_failure=True, fails_turn=True)


def _problem(arguments: Arguments, state: ClientState) -> Problem | None:
    slug = str(arguments["mode_slug"])
    if find_mode(slug, state.custom_modes) is None:
        return Fault.UNKNOWN_MODE, f"there is no mode {slug!r}."
    return (Fault.SAME_MODE, f"{slug!r} is already the current mode.") if slug == state.mode else None


SWITCH_MODE = Tool(
    name="switch_mode",
    run=_switch,
    arguments={"mode_slug": Argument("present"), "reason": Argument("present")},
    is_drilled=True,
    filled=("mode_slug",),
    problem=_problem,
)
