"""`switch_mode`: another mode."""

from services.protocols.roo.modes import find_mode
from services.protocols.roo.task_calls import mode_problem
from services.protocols.roo_xml.tools.tool import Call, Reply, Result, Tool, mistake


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
    problem=lambda params, state: mode_problem(params["mode_slug"], state, is_switch=True),
    title=_title,
)
