"""`update_todo_list`: a new checklist in place of the old one."""

from services.protocols.roo.checklist import checklist_items, read_checklist
from services.protocols.roo.task_calls import todos_problem
from services.protocols.roo_native.tools.tool import Argument, Call, Result, Tool


def _update(call: Call) -> Result:
    def update() -> str:
        call.state.todos = [(status, text) for status, text in read_checklist(call.text_or("todos", ""))[0]]
        return "The checklist was updated."

    return call.offered(update, "keep")


UPDATE_TODO_LIST = Tool(
    name="update_todo_list",
    run=_update,
    arguments={"todos": Argument("present", normal=checklist_items)},
    is_drilled=True,
    problem=lambda arguments, state: todos_problem(arguments["todos"]),
)
