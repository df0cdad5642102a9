"""`attempt_completion`: the result, which ends the task."""

from __future__ import annotations

from services.protocols.roo.checklist import unfinished_work
from services.protocols.roo_xml.tools.tool import Call, Result, Tool, failed, missing, mistake


def _complete(call: Call) -> Result:
    """Take the result; the reference client says nothing to it, the classic one hands out an empty result."""
    if call.turn_failed:
        sentence = "A call of this turn failed. Look at what went wrong before you complete the task."
        return failed("tool_failed_before_completion", sentence)
    if call.state.needs_done_todos and (left := unfinished_work(call.state.todos or ())):
        return mistake("open_todos", left, fails_turn=True)
    if lacking := call.lacks("result"):
        return missing(call, lacking)
    is_silent = not call.edition.is_classic
    return Result("accepted", (), str, "reset", is_silent=is_silent, completed=call.params["result"])


ATTEMPT_COMPLETION = Tool(
    name="attempt_completion", run=_complete, required=("result",), ignored=("command",), is_drilled=True
)
