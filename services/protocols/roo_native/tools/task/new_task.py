"""`new_task`: a subtask."""

from __future__ import annotations

from services.protocols.roo.checklist import checklist_items
from services.protocols.roo.modes import find_mode
from services.protocols.roo_native.parse.values import text_of
from services.protocols.roo_native.tools.task.update_todo_list import todos_problem
from services.protocols.roo_native.tools.tool import Argument, Arguments, Call, Problem, Result, Tool, failed
from services.protocols.turn import ClientState
from services.protocols.verdict import Fault


def _open(call: Call) -> Result:
    call.text("message", "reset")
    slug = text_of(call.arguments["mode"])
    mode = find_mode(slug, call.state.custom_modes) if isinstance(call.arguments["mode"], str) else None
    if mode is None:
        return failed("unknown_mode", f"There is no mode {slug!r}.", "reset")
    return call.answered(f"A subtask was opened in the mode {mode.name}.")


def _problem(arguments: Arguments, state: ClientState) -> Problem | None:
    slug = str(arguments["mode"])
    if find_mode(slug, state.custom_modes) is None:
        return Fault.UNKNOWN_MODE, f"there is no mode {slug!r}."
    return todos_problem(arguments, state) if arguments.get("todos") else None


NEW_TASK = Tool(
    name="new_task",
    run=_open,
    arguments={
        "mode": Argument("present"),
        "message": Argument("present"),
        "todos": Argument(normal=checklist_items),
    },
    is_drilled=True,
    filled=("mode", "message"),
    lack_fails_turn=True,
    problem=_problem,
)
