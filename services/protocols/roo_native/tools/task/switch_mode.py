"""`switch_mode`: another mode."""

from services.protocols.roo.modes import find_mode
from services.protocols.roo.task_calls import mode_problem
from services.protocols.roo_native.parse.values import text_of
from services.protocols.roo_native.tools.tool import Argument, Call, Result, Tool, mistake


def _switch(call: Call) -> Result:
    state, slug = call.state, text_of(call.arguments["mode_slug"])
    mode = find_mode(slug, state.custom_modes) if isinstance(call.arguments["mode_slug"], str) else None
    if mode is None:
        return mistake("unknown_mode", f"There is no mode {slug!r}.", "reset", fails_turn=True)
    if slug == state.mode:
        return mistake("same_mode", f"The mode is {mode.name} already.", "reset", fails_turn=True)

    def switch() -> str:
        state.mode = slug
        return f"The mode is now {mode.name}."

    return call.offered(switch)


SWITCH_MODE = Tool(
    name="switch_mode",
    run=_switch,
    arguments={"mode_slug": Argument("present"), "reason": Argument("present")},
    is_drilled=True,
    filled=("mode_slug",),
    problem=lambda arguments, state: mode_problem(str(arguments["mode_slug"]), state, is_switch=True),
)
