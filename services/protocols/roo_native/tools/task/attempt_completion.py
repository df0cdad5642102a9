"""`attempt_completion`: the result of the task."""

from services.protocols.roo.task_calls import completion_refusal
from services.protocols.roo_native.parse.values import text_of
from services.protocols.roo_native.tools.tool import Argument, Call, Result, Tool, failed, mistake


def _complete(call: Call) -> Result:
    if refusal := completion_refusal(call.state, turn_failed=call.turn_failed):
        return failed(*refusal) if call.turn_failed else mistake(*refusal, fails_turn=True)
    return Result("accepted", (), "", "reset", completed=text_of(call.arguments["result"]))


ATTEMPT_COMPLETION = Tool(
    name="attempt_completion", run=_complete, arguments={"result": Argument("filled")}, is_drilled=True
)
