"""`update_todo_list`: a new checklist in place of the old one."""

from __future__ import annotations

from services.protocols.roo.checklist import checklist_items, checklist_problem, read_checklist
from services.protocols.roo_native.tools.tool import Argument, Arguments, Call, Problem, Result, Tool
from services.protocols.turn import ClientState
from services.protocols.verdict import Fault


def _update(call: Call) -> Result:
    """Replace the checklist; lines that are no items are dropped without a word."""

    def update() -> str:
        call.state.todos = [(status, text) for status, text in read_checklist(call.text_or("todos", ""))[0]]
        return "The checklist was updated."

    return call.offered(update, "keep")


def todos_problem(arguments: Arguments, state: ClientState) -> Problem | None:
    """Return what is wrong with the checklist of a call, or None."""
    problem = checklist_problem(str(arguments["todos"]))
    return (Fault.BAD_VALUE, problem) if problem else None


UPDATE_TODO_LIST = Tool(
    name="update_todo_list",
    run=_update,
    arguments={"todos": Argument("present", normal=checklist_items)},
    is_drilled=True,
    problem=todos_problem,
)
