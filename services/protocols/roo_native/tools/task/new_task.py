"""`new_task`: a subtask."""

from services.protocols.roo.checklist import checklist_items
from services.protocols.roo.modes import find_mode
from services.protocols.roo.task_calls import subtask_problem
from services.protocols.roo_native.parse.values import text_of
from services.protocols.roo_native.tools.tool import Argument, Call, Result, Tool, failed


def _open(call: Call) -> Result:
    call.text("message", "reset")
    slug = text_of(call.arguments["mode"])
    mode = find_mode(slug, call.state.custom_modes) if isinstance(call.arguments["mode"], str) else None
    if mode is None:
        return failed("unknown_mode", f"There is no mode {slug!r}.", "reset")
    return call.answered(f"A subtask was opened in the mode {mode.name}.")


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
    problem=lambda arguments, state: subtask_problem(str(arguments["mode"]), arguments.get("todos"), state),
)
