"""`switch_mode`: another mode."""

from __future__ import annotations

from services.protocols.roo.modes import find_mode
from services.protocols.roo_xml.tools.tool import Call, Params, Problem, Reply, Result, Tool, mistake
from services.protocols.turn import ClientState
from services.protocols.verdict import Fault


def _switch(call: Call) -> Result:
    state, slug = call.state, call.params["mode_slug"]
    mode = find_mode(slug, state.custom_modes)
    if mode is None:
        return mistake("unknown_mode", f"There is no mode {slug!r}.", "reset", fails_turn=True)
    if slug == state.mode:
        return mistake("same_mode", f"The mode is {mode.name} already.", "reset", fails_turn=True)

    def switch() -> Reply:
        state.mode = slug
        return lambda: f"The mode is now {mode.name}."

    return call.offered(switch)


def _problem(params: Params, state: ClientState) -> Problem | None:
    slug = params["mode_slug"]
    if find_mode(slug, state.custom_modes) is None:
        return Fault.UNKNOWN_MODE, f"there is no mode {slug!r}."
    return (Fault.SAME_MODE, f"{slug!r} is already the current mode.") if slug == state.mode else None


def _title(call: Call) -> str:
    reason = call.params.get("reason")
    return f" to '{call.params.get('mode_slug', '')}'" + (f" because: {reason}" if reason else "")


SWITCH_MODE = Tool(
    name="switch_mode",
    run=_switch,
    required=("mode_slug",),
    demanded=("reason",),
    is_drilled=True,
    filled=("mode_slug",),
    problem=_problem,
    title=_title,
)
