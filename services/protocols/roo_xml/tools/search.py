"""Tools that look at the workspace, and `fetch_instructions`: one of the two instructions that exist."""

from services.protocols.roo.normal_forms import defaulted, plain_path
from services.protocols.roo.workspace import BadExpression, found_text, listing
from services.protocols.roo_xml.tools.tool import (
    Argument,
    Arguments,
    Call,
    Params,
    Problem,
    Result,
    Tool,
    error,
    failed,
)
from services.protocols.turn import ClientState
from services.protocols.verdict import Fault


def _search(call: Call) -> Result:
    return call.offered(lambda: lambda: _found(call))


def _found(call: Call) -> str:
    params = call.params
    try:
        return found_text(call.state, params["path"], params["regex"], params.get("file_pattern", ""))
    except BadExpression as bad:
        return error(f"The regular expression cannot be read: {bad}.")


def _search_title(call: Call) -> str:
    glob = call.params.get("file_pattern")
    return f" for '{call.params.get('regex', '')}'" + (f" in '{glob}'" if glob else "")


SEARCH_FILES = Tool(
    name="search_files",
    run=_search,
    required=("path", "regex"),
    optional=("file_pattern",),
    group="read",
    is_drilled=True,
    filled=("path", "regex"),
    lack_fails_turn=True,
    arguments={
        "path": Argument(normal=plain_path),
        "file_pattern": Argument(read=lambda text: text or None, normal=defaulted("*")),
    },
    title=_search_title,
)


CODEBASE_SEARCH = Tool(
    name="codebase_search",
    run=lambda call: call.answered("The index holds nothing that fits the query."),
    required=("query",),
    optional=("path",),
    group="read",
    filled=("query",),
    lack_fails_turn=True,
    # The client forgets it.
    records_lack=False,
    arguments={"path": Argument(normal=plain_path)},
    title="query",
)


def _list(call: Call) -> Result:
    recursive = call.params.get("recursive", "").lower() == "true"
    return call.offered(lambda: lambda: listing(call.state, call.params["path"], recursive=recursive))


def _read_arguments(params: Params) -> Arguments:
    return {"path": params.get("path", ""), "recursive": params.get("recursive", "").lower() == "true"}


def _recursive_problem(params: Params, state: ClientState) -> Problem | None:
    value = params.get("recursive")
    if value is None or value.lower() in ("true", "false"):
        return None
    return Fault.BAD_VALUE, f"recursive is {value!r}, not true or false."


LIST_FILES = Tool(
    name="list_files",
    run=_list,
    required=("path",),
    optional=("recursive",),
    group="read",
    is_drilled=True,
    filled=("path",),
    lack_fails_turn=True,
    arguments={"path": Argument(normal=plain_path)},
    read_arguments=_read_arguments,
    problem=_recursive_problem,
    title="path",
)
LIST_CODE_DEFINITION_NAMES = Tool(
    name="list_code_definition_names",
    run=lambda call: call.answered("No definitions were found."),
    required=("path",),
    group="read",
    filled=("path",),
    arguments={"path": Argument(normal=plain_path)},
    title="path",
)


_TASKS = {"create_mcp_server": "an MCP server", "create_mode": "a mode of your own"}


def _fetch(call: Call) -> Result:
    task = call.params["task"]
    result = call.answered(f"Write down what {_TASKS.get(task)} needs, then make its files one at a time.")
    if result.is_denied or task in _TASKS:
        return result
    sentence = f"There is no instruction {task!r}; there are: {', '.join(_TASKS)}."
    return failed("unknown_instruction", sentence, "reset")


def _task_problem(params: Params, state: ClientState) -> Problem | None:
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
    problem=_task_problem,
    title="task",
)
