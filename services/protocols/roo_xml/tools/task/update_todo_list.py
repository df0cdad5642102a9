"""`update_todo_list`: a new checklist in place of the old one."""

from services.protocols.roo.checklist import checklist_items, read_checklist
from services.protocols.roo.task_calls import todos_problem
from services.protocols.roo_xml.tools.tool import Argument, Call, Reply, Result, Tool


def _update(call: Call) -> Result:
    def update() -> Reply:
        call.state.todos = list(read_checklist(call.params.get("todos", ""))[0])
        return lambda: "The checklist was updated."

    return call.offered(update, "keep")


UPDATE_TODO_LIST = Tool(
    name="update_todo_list",
    run=_update,
    demanded=("todos",),
    is_drilled=True,
    arguments={"todos": Argument(normal=checklist_items)},
    problem=lambda params, state: todos_problem(params["todos"]),
)
