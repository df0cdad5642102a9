"""`attempt_completion`: the result of the task."""

from __future__ import annotations

from services.protocols.roo.checklist import unfinished_work
from services.protocols.roo_native.parse.values import text_of
from services.protocols.roo_native.tools.tool import Argument, Call, Result, Tool, failed, mistake


def _complete(call: Call) -> Result:
    """Take the result; the client says nothing to it. A setting has it refused while the checklist is unfinished."""
    if call.turn_failed:
        sentence = "A call of this turn failed. Look at what went wrong before you complete the task."
        return failed("tool_failed_before_completion", sentence)
    if call.state.needs_done_todos and (left := unfinished_work(call.state.todos or ())):
        return mistake("open_todos", left, fails_turn=True)
    return Result("accepted", (), "", "reset", completed=text_of(call.arguments["result"]))


ATTEMPT_COMPLETION = Tool(
    name="attempt_completion", run=_complete, arguments={"result": Argument("filled")}, is_drilled=True
)
