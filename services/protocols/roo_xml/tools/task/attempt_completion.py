"""`attempt_completion`: the result, which ends the task."""

from services.protocols.roo.task_calls import completion_refusal
from services.protocols.roo_xml.tools.tool import Call, Result, Tool, failed, missing, mistake


def _complete(call: Call) -> Result:
    if refusal := completion_refusal(call.state, turn_failed=call.turn_failed):
        return failed(*refusal) if call.turn_failed else mistake(*refusal, fails_turn=True)
    if lacking := call.lacks("result"):
        return missing(call, lacking)
    is_silent = not call.edition.is_classic
    return Result("accepted", (), str, "reset", is_silent=is_silent, completed=call.params["result"])


ATTEMPT_COMPLETION = Tool(
    name="attempt_completion", run=_complete, required=("result",), ignored=("command",), is_drilled=True
)
