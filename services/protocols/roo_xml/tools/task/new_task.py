"""`new_task`: a subtask."""

from services.protocols.roo.checklist import checklist_items
from services.protocols.roo.modes import find_mode
from services.protocols.roo.task_calls import subtask_problem
from services.protocols.roo_xml.tools.tool import Argument, Call, Result, Tool, failed


def _open(call: Call) -> Result:
    mode = find_mode(call.params["mode"], call.state.custom_modes)
    if mode is None:
        return failed("unknown_mode", f"There is no mode {call.params['mode']!r}.", "reset")
    return call.answered(f"A subtask was opened in the mode {mode.name}.")


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
    problem=lambda params, state: subtask_problem(params["mode"], params.get("todos"), state),
    title=_title,
)
