"""`new_task`: a subtask."""

from __future__ import annotations

from services.protocols.roo.checklist import checklist_items, checklist_problem
from services.protocols.roo.modes import find_mode
from services.protocols.roo_xml.tools.tool import Argument, Call, Params, Problem, Result, Tool, failed
from services.protocols.turn import ClientState
from services.protocols.verdict import Fault


def _open(call: Call) -> Result:
    mode = find_mode(call.params["mode"], call.state.custom_modes)
    if mode is None:
        return failed("unknown_mode", f"There is no mode {call.params['mode']!r}.", "reset")
    return call.answered(f"A subtask was opened in the mode {mode.name}.")


def _problem(params: Params, state: ClientState) -> Problem | None:
    if find_mode(params["mode"], state.custom_modes) is None:
        return Fault.UNKNOWN_MODE, f"there is no mode {params['mode']!r}."
    problem = checklist_problem(params["todos"]) if params.get("todos") else None
    return (Fault.BAD_VALUE, problem) if problem else None


def _title(call: Call) -> str:
    slug = call.params.get("mode", "")
    mode = find_mode(slug, call.state.custom_modes)
    return f" in {mode.name if mode else slug} mode: '{call.params.get('message', '')}'"


NEW_TASK = Tool(
    name="new_task",
    run=_open,
    required=("mode", "message"),
    optional=("todos",),
    is_drilled=True,
    filled=("mode", "message"),
    lack_fails_turn=True,
    arguments={"todos": Argument(normal=checklist_items)},
    problem=_problem,
    title=_title,
)
