"""`list_files` and, in the classic client alone, `list_code_definition_names`: what stands in a folder."""

from services.protocols.roo.normal_forms import plain_path
from services.protocols.roo.workspace import listing
from services.protocols.roo_xml.tools.tool import Argument, Arguments, Call, Params, Problem, Result, Tool
from services.protocols.turn import ClientState
from services.protocols.verdict import Fault


def _list(call: Call) -> Result:
    recursive = call.params.get("recursive", "").lower() == "true"
    return call.offered(lambda: lambda: listing(call.state, call.params["path"], recursive=recursive))


def _read_arguments(params: Params) -> Arguments:
    return {"path": params.get("path", ""), "recursive": params.get("recursive", "").lower() == "true"}


def _problem(params: Params, state: ClientState) -> Problem | None:
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
    problem=_problem,
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
