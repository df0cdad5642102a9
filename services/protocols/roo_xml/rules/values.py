"""Are the values of a call what the prompt demands? Stricter than the client where it drops things silently."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from services.protocols.javascript import parse_json, trim
from services.protocols.roo.checklist import read_checklist
from services.protocols.roo.diff.blocks import read_blocks
from services.protocols.roo.diff.markers import check_markers
from services.protocols.roo.file_text import decoded
from services.protocols.roo.modes import find_mode
from services.protocols.roo_xml.arguments import BadNestedValue, typed_arguments
from services.protocols.roo_xml.tools import INSTRUCTION_TASKS
from services.protocols.turn import ClientState
from services.protocols.verdict import Fault

MIN_SUGGESTIONS, MAX_SUGGESTIONS = 2, 4

Params = Mapping[str, str]
Problem = tuple[Fault, str, str]
"""What is wrong, in which parameter, and one sentence on it."""

_RANGE_ELEMENT = re.compile(r"<line_range>([^<]*)<")
_RANGE = re.compile(r"\s*[0-9]+-[0-9]+\s*")


def value_problem(tool: str, params: Params, state: ClientState) -> Problem | None:
    """Return the first value of the call that is not what the prompt demands, or None."""
    check = _CHECKS.get(tool)
    return check(params, state) if check else None


def _bad(parameter: str, sentence: str) -> Problem:
    return Fault.BAD_VALUE, parameter, sentence


def _read_file(params: Params, state: ClientState) -> Problem | None:
    try:
        files = typed_arguments("read_file", params)["files"]
    except BadNestedValue as error:
        return _bad("args", f"args is not readable XML: {error}.")
    if not isinstance(files, list) or not files:
        return _bad("args", "args holds no <file> with a <path>.")
    for entry in files:
        if not isinstance(entry["path"], str):
            return _bad("args", "a <path> in args is more than plain text.")
        if any(first > last or first < 1 for first, last in entry["line_ranges"]):
            return _bad("args", f"a line range of {entry['path']} runs backwards or begins before line 1.")
    for written in _RANGE_ELEMENT.findall(params["args"]):
        if not _RANGE.fullmatch(written):
            return _bad("args", f"the line range {written!r} is not of the form 10-20.")
    return None


def _list_files(params: Params, state: ClientState) -> Problem | None:
    value = params.get("recursive")
    if value is not None and value.lower() not in ("true", "false"):
        return _bad("recursive", f"recursive is {value!r}, not true or false.")
    return None


def _fetch_instructions(params: Params, state: ClientState) -> Problem | None:
    if params["task"] not in INSTRUCTION_TASKS:
        return _bad("task", f"{params['task']!r} is none of: {', '.join(INSTRUCTION_TASKS)}.")
    return None


def _apply_diff(params: Params, state: ClientState) -> Problem | None:
    diff = decoded(trim(params["diff"]))
    if fault := check_markers(diff):
        return Fault.DIFF_FORM, "diff", f"the marker lines of the diff are not in order ({fault})."
    blocks = read_blocks(diff)
    if not blocks:
        return Fault.DIFF_FORM, "diff", "the diff holds no block that the client can read."
    if not all(block.has_start_line for block in blocks):
        return Fault.DIFF_FORM, "diff", "a block of the diff lacks its :start_line:."
    if not all(block.has_dashes for block in blocks):
        return Fault.DIFF_FORM, "diff", "a block of the diff lacks the line of seven dashes."
    return None


def _use_mcp_tool(params: Params, state: ClientState) -> Problem | None:
    servers = {server.name: server.tools for server in state.mcp}
    if params["server_name"] not in servers:
        return _bad("server_name", f"no server {params['server_name']!r} is connected.")
    if params["tool_name"] not in servers[params["server_name"]]:
        return _bad("tool_name", f"{params['server_name']} has no tool {params['tool_name']!r}.")
    try:
        arguments = parse_json(params.get("arguments") or "{}")
    except ValueError:
        return _bad("arguments", "arguments is not valid JSON.")
    return None if isinstance(arguments, dict) else _bad("arguments", "arguments is not a JSON object.")


def _ask(params: Params, state: ClientState) -> Problem | None:
    try:
        suggestions = typed_arguments("ask_followup_question", params)["follow_up"]
    except BadNestedValue as error:
        return _bad("follow_up", f"follow_up is not readable: {error}.")
    assert isinstance(suggestions, list)
    if not MIN_SUGGESTIONS <= len(suggestions) <= MAX_SUGGESTIONS:
        return _bad("follow_up", f"follow_up holds {len(suggestions)} suggestions, not 2 to 4.")
    if not all(trim(suggestion.get("text", "")) for suggestion in suggestions):
        return _bad("follow_up", "a suggestion is empty.")
    unknown = [mode for entry in suggestions if (mode := entry.get("mode")) and not find_mode(mode)]
    return _bad("follow_up", f"a suggestion names the unknown mode {unknown[0]!r}.") if unknown else None


def _mode(parameter: str) -> Callable[[Params, ClientState], Problem | None]:
    def check(params: Params, state: ClientState) -> Problem | None:
        slug = params[parameter]
        if find_mode(slug, state.custom_modes) is None:
            return _bad(parameter, f"there is no mode {slug!r}.")
        if parameter == "mode_slug" and slug == state.mode:
            return _bad(parameter, f"{slug!r} is already the current mode.")
        return _checklist(params) if params.get("todos") else None

    return check


def _todos(params: Params, state: ClientState) -> Problem | None:
    return _checklist(params)


def _checklist(params: Params) -> Problem | None:
    items, dropped = read_checklist(params["todos"])
    if dropped:
        return _bad("todos", f"the line {dropped[0]!r} is no checklist item, so the client drops it.")
    return None if items else _bad("todos", "the checklist is empty.")


_CHECKS: Mapping[str, Callable[[Params, ClientState], Problem | None]] = MappingProxyType(
    {
        "read_file": _read_file,
        "list_files": _list_files,
        "fetch_instructions": _fetch_instructions,
        "apply_diff": _apply_diff,
        "use_mcp_tool": _use_mcp_tool,
        "ask_followup_question": _ask,
        "switch_mode": _mode("mode_slug"),
        "new_task": _mode("mode"),
        "update_todo_list": _todos,
    }
)
