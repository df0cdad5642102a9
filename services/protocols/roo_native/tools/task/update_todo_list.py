"""`update_todo_list`: a new checklist in place of the old one."""

from __future__ import annotations

from services.protocols.roo.checklist import read_checklist
from services.protocols.roo_native.tools.tool import Argument, Arguments, Call, Problem, Result, Tool
from services.protocols.turn import ClientState
from services.protocols.verdict import Fault


def _update(call: Call) -> Result:
    """Replace the checklist; lines that are no items are dropped without a word."""

    def update() -> str:
        call.state.todos = [(status, text) for status, text in read_checklist(call.text_or("todos", ""))[0]]
        return "The checklist was updated."

    return call.offered(update, "keep")


def checklist_items(value: object) -> object:
    """Return what a checklist says; None for one that is absent."""
    return list(read_checklist(value)[0]) if isinstance(value, str) and value else None


def checklist_problem(arguments: Arguments, state: ClientState) -> Problem | None:
    """Return what is wrong with the first line of a checklist that is wrong, or None."""
    items, dropped = read_checklist(str(arguments["todos"]))
    if dropped:
        return Fault.BAD_VALUE, f"the line {dropped[0]!r} is no checklist item, so the client drops it."
    return None if items else (Fault.BAD_VALUE, "the checklist is empty.")


UPDATE_TODO_LIST = Tool(
    name="update_todo_list",
    run=_update,
    arguments={"todos": Argument("present", normal=checklist_items)},
    is_drilled=True,
    problem=checklist_problem,
)
