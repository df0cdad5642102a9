"""`update_todo_list`: a new checklist in place of the old one."""

from __future__ import annotations

from services.protocols.roo.checklist import checklist_items, checklist_problem, read_checklist
from services.protocols.roo_xml.tools.tool import Argument, Call, Params, Problem, Reply, Result, Tool
from services.protocols.turn import ClientState
from services.protocols.verdict import Fault


def _update(call: Call) -> Result:
    """Replace the checklist; lines that are no items are dropped without a word."""

    def update() -> Reply:
        call.state.todos = list(read_checklist(call.params.get("todos", ""))[0])
        return lambda: "The checklist was updated."

    return call.offered(update, "keep")


def _problem(params: Params, state: ClientState) -> Problem | None:
    problem = checklist_problem(params["todos"])
    return (Fault.BAD_VALUE, problem) if problem else None


UPDATE_TODO_LIST = Tool(
    name="update_todo_list",
    run=_update,
    demanded=("todos",),
    is_drilled=True,
    arguments={"todos": Argument(normal=checklist_items)},
    problem=_problem,
)
