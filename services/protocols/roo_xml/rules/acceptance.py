"""Would the client run this call? The checks that its own code makes before a tool does its work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from services.protocols.cases import Case, McpServer
from services.protocols.javascript import parse_json, trim
from services.protocols.roo.modes import find_mode, refusal
from services.protocols.roo_xml.arguments import BadNestedValue, typed_arguments
from services.protocols.roo_xml.rules.effects import diff_outcome
from services.protocols.roo_xml.tools import INSTRUCTION_TASKS, TOOLS


@dataclass(frozen=True, slots=True)
class Situation:
    """What the client knows when a call arrives.

    Attributes:
        files: text by path of the files whose text is known.
        paths: further paths that exist.
    """

    mode: str
    files: Mapping[str, str] = field(default_factory=dict)
    paths: frozenset[str] = frozenset()
    mcp: tuple[McpServer, ...] = ()
    custom_modes: tuple[Mapping[str, object], ...] = ()
    model_id: str = "local-model"


Params = Mapping[str, str]


def situation_of(case: Case) -> Situation:
    """Return the situation that `case` describes; files that its right answer reads exist."""
    read = case.expected.arguments.get("files", ())
    wanted = [str(entry["path"]) for entry in read] if isinstance(read, list | tuple) else []
    paths = frozenset((*case.workspace, *case.open_tabs, *wanted))
    return Situation(case.mode, case.files, paths, case.mcp, case.custom_modes)


def client_fault(tool: str, params: Params, situation: Situation) -> str | None:
    """Return the code of the first reason for which the client refuses the call, or None when it runs it.

    Codes: `not_allowed_in_mode`, `file_pattern`, `missing_param:NAME`, and the tool's own such as `no_match`,
    `file_not_found`, `mcp_bad_json`, `unknown_mode`.
    """
    refused = refusal(tool, find_mode(situation.mode, situation.custom_modes), params)
    if refused:
        return refused
    for name in TOOLS[tool].required:
        if not trim(params.get(name, "")):
            return f"missing_param:{name}"
    check = _CHECKS.get(tool)
    return check(params, situation) if check else None


def _read_file(params: Params, situation: Situation) -> str | None:
    try:
        files = typed_arguments("read_file", params)["files"]
    except BadNestedValue:
        return "args_xml"
    if not isinstance(files, list) or not files:
        return "missing_param:args"
    faults = [_file_fault(entry, situation) for entry in files]
    return faults[0] if all(faults) else None


def _file_fault(entry: Mapping[str, object], situation: Situation) -> str | None:
    path = entry["path"]
    if not isinstance(path, str):
        return "bad_path_value"
    ranges = entry["line_ranges"]
    assert isinstance(ranges, list)
    if any(first > last for first, last in ranges):
        return "bad_range"
    text = situation.files.get(same_path(path))
    if text is None:
        return _absent_fault(same_path(path), situation)
    length = text.count("\n") + 1
    return "range_beyond_end" if any(first > length for first, _ in ranges) else None


def _absent_fault(path: str, situation: Situation) -> str | None:
    if path in situation.paths:
        return None
    known = (*situation.files, *situation.paths)
    return "is_directory" if any(other.startswith(f"{path}/") for other in known) else "file_not_found"


def same_path(path: str) -> str:
    """Return `path` in the one spelling that all its spellings share: no `./`, no double or final slash."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return ("/" if path.startswith("/") else "") + "/".join(parts) or "."


def _apply_diff(params: Params, situation: Situation) -> str | None:
    original = situation.files.get(same_path(params["path"]))
    if original is None:
        return None if same_path(params["path"]) in situation.paths else "file_not_found"
    outcome = diff_outcome(original, params["diff"], situation.model_id)
    if outcome.content is None and outcome.failed:
        return outcome.failed[-1].fault
    return outcome.fault


def _use_mcp_tool(params: Params, situation: Situation) -> str | None:
    if params.get("arguments"):
        try:
            parse_json(params["arguments"])
        except ValueError:
            return "mcp_bad_json"
    server = next((server for server in situation.mcp if server.name == params["server_name"]), None)
    if server is None:
        return "mcp_unknown_server"
    return None if params["tool_name"] in server.tools else "mcp_unknown_tool"


def _ask(params: Params, situation: Situation) -> str | None:
    try:
        typed_arguments("ask_followup_question", params)
    except BadNestedValue:
        return "follow_up_xml"
    return None


def _switch_mode(params: Params, situation: Situation) -> str | None:
    if find_mode(params["mode_slug"], situation.custom_modes) is None:
        return "unknown_mode"
    return "same_mode" if params["mode_slug"] == situation.mode else None


def _new_task(params: Params, situation: Situation) -> str | None:
    return None if find_mode(params["mode"], situation.custom_modes) else "unknown_mode"


def _fetch_instructions(params: Params, situation: Situation) -> str | None:
    return None if params["task"] in INSTRUCTION_TASKS else "unknown_instruction"


def _browser_action(params: Params, situation: Situation) -> str | None:
    if params["action"] not in _BROWSER_NEEDS:
        return "missing_param:action"
    needed = _BROWSER_NEEDS[params["action"]]
    return f"missing_param:{needed}" if needed and not trim(params.get(needed, "")) else None


_BROWSER_NEEDS = MappingProxyType(
    dict.fromkeys(("scroll_down", "scroll_up", "screenshot", "close"), "")
    | {"launch": "url", "hover": "coordinate", "click": "coordinate", "type": "text", "press": "text", "resize": "size"}
)
"""What each browser action needs besides itself."""


def _switched_off(params: Params, situation: Situation) -> str | None:
    return "experiment_off"


_CHECKS: Mapping[str, Callable[[Params, Situation], str | None]] = MappingProxyType(
    {
        "read_file": _read_file,
        "apply_diff": _apply_diff,
        "use_mcp_tool": _use_mcp_tool,
        "ask_followup_question": _ask,
        "switch_mode": _switch_mode,
        "new_task": _new_task,
        "fetch_instructions": _fetch_instructions,
        "browser_action": _browser_action,
        "generate_image": _switched_off,
        "run_slash_command": _switched_off,
    }
)
