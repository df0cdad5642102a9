"""How the client heads a result: the tool and the argument that matters most."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from services.protocols.roo.modes import find_mode
from services.protocols.roo_xml.arguments import BadNestedValue, typed_arguments
from services.protocols.roo_xml.client.call import Call
from services.protocols.roo_xml.client.reading import reads_single_files

_MAX_NAMED_FILES = 3
_ADVICE = "Several files can be read in one call; name every file that matters now."


def title_of(call: Call) -> str:
    """Return the bracket that names a call, such as `[write_to_file for 'a.py']`."""
    special = _SPECIAL.get(call.tool)
    if special:
        return f"[{call.tool}{special(call)}]"
    argument = _ARGUMENTS.get(call.tool)
    return f"[{call.tool} for '{call.params.get(argument, '')}']" if argument else f"[{call.tool}]"


_ARGUMENTS: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("write_to_file", "apply_diff", "list_files", "list_code_definition_names"), "path")
    | dict.fromkeys(("insert_content", "generate_image", "search_and_replace"), "path")
    | dict.fromkeys(("search_replace", "edit_file"), "file_path")
    | dict.fromkeys(("use_mcp_tool", "access_mcp_resource"), "server_name")
    | {"execute_command": "command", "run_slash_command": "command", "codebase_search": "query"}
    | {"ask_followup_question": "question", "fetch_instructions": "task", "browser_action": "action"}
)


def _files(call: Call) -> str:
    if reads_single_files(call.state.model_id):
        path = call.params.get("path")
        return f" for '{path}'" if path else " without a path"
    try:
        entries = typed_arguments("read_file", call.params)["files"]
    except BadNestedValue:
        return " with args that cannot be read"
    paths = [str(entry["path"]) for entry in entries] if isinstance(entries, list) else []
    if not paths:
        return " without a path"
    if len(paths) == 1:
        return f" for '{paths[0]}'. {_ADVICE}"
    return " for " + (", ".join(f"'{path}'" for path in paths) if len(paths) <= _MAX_NAMED_FILES else _count(paths))


def _count(paths: list[str]) -> str:
    return f"{len(paths)} files"


def _search(call: Call) -> str:
    glob = call.params.get("file_pattern")
    return f" for '{call.params.get('regex', '')}'" + (f" in '{glob}'" if glob else "")


def _mode(call: Call) -> str:
    reason = call.params.get("reason")
    return f" to '{call.params.get('mode_slug', '')}'" + (f" because: {reason}" if reason else "")


def _task(call: Call) -> str:
    slug = call.params.get("mode", "")
    mode = find_mode(slug, call.state.custom_modes)
    return f" in {mode.name if mode else slug} mode: '{call.params.get('message', '')}'"


_SPECIAL: Mapping[str, Callable[[Call], str]] = MappingProxyType(
    {"read_file": _files, "search_files": _search, "switch_mode": _mode, "new_task": _task}
)
