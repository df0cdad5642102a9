"""`fetch_instructions`: one of the two instructions that exist."""

from services.protocols.roo_xml.tools.tool import Call, Params, Problem, Result, Tool, failed
from services.protocols.turn import ClientState
from services.protocols.verdict import Fault

_TASKS = {"create_mcp_server": "an MCP server", "create_mode": "a mode of your own"}


def _fetch(call: Call) -> Result:
    task = call.params["task"]
    result = call.answered(f"Write down what {_TASKS.get(task)} needs, then make its files one at a time.")
    if result.is_denied or task in _TASKS:
        return result
    sentence = f"There is no instruction {task!r}; there are: {', '.join(_TASKS)}."
    return failed("unknown_instruction", sentence, "reset")


def _problem(params: Params, state: ClientState) -> Problem | None:
    if params["task"] in _TASKS:
        return None
    return Fault.UNKNOWN_INSTRUCTION, f"{params['task']!r} is none of: {', '.join(_TASKS)}."


FETCH_INSTRUCTIONS = Tool(
    name="fetch_instructions",
    run=_fetch,
    required=("task",),
    group="read",
    is_drilled=True,
    filled=("task",),
    lack_fails_turn=True,
    problem=_problem,
    title="task",
)
