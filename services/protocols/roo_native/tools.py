"""The function catalogue of the client: names, groups, what each call must carry."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType

from services.protocols.javascript import trim
from services.protocols.roo.modes import Params, ToolRules

CLIENT_VERSION = "3.52.1"

GROUPS = MappingProxyType(
    {
        "read": ("read_file", "search_files", "list_files", "codebase_search"),
        "edit": ("apply_diff", "write_to_file", "generate_image"),
        "command": ("execute_command", "read_command_output"),
        "mcp": ("use_mcp_tool", "access_mcp_resource"),
    }
)

OPT_IN_EDIT_TOOLS = ("edit", "search_replace", "edit_file", "apply_patch")
"""Offered and allowed only where the model's own settings include them."""

ALWAYS_AVAILABLE = (
    "ask_followup_question",
    "attempt_completion",
    "switch_mode",
    "new_task",
    "update_todo_list",
    "run_slash_command",
    "skill",
)

ALIASES = MappingProxyType({"write_file": "write_to_file", "search_and_replace": "edit"})
"""Names that a model may write instead of a tool's own."""

CUSTOM_TOOL = "custom_tool"
"""A name that the client knows, but has no arguments for."""

TOOL_NAMES = (
    *(name for names in GROUPS.values() for name in names),
    *OPT_IN_EDIT_TOOLS,
    *ALWAYS_AVAILABLE,
    "search_and_replace",
    CUSTOM_TOOL,
)
"""Names that pass as known; `search_and_replace` is an alias, but known by itself, and `write_file` is not."""

PARAMETER_NAMES = frozenset(
    (
        *("command", "path", "content", "regex", "file_pattern", "recursive", "action", "url", "coordinate", "text"),
        *("server_name", "tool_name", "arguments", "uri", "question", "result", "diff", "mode_slug", "reason"),
        *("line", "mode", "message", "cwd", "follow_up", "task", "size", "query", "args", "skill", "start_line"),
        *("end_line", "todos", "prompt", "image", "operations", "patch", "file_path", "old_string", "new_string"),
        *("replace_all", "expected_replacements", "timeout", "artifact_id", "search", "offset", "limit"),
        *("indentation", "anchor_line", "max_levels", "include_siblings", "include_header", "max_lines", "files"),
        "line_ranges",
    )
)
"""Every key that the client keeps of a call beside its typed arguments."""

DEFAULT_TOOLS = (
    *("read_file", "search_files", "list_files", "apply_diff", "write_to_file", "execute_command"),
    *("read_command_output", "ask_followup_question", "attempt_completion", "switch_mode", "new_task"),
    *("update_todo_list", "skill"),
)
"""The functions that are offered without any setting, in the order in which they are listed."""

DRILLED_TOOLS = (
    *("read_file", "search_files", "list_files", "skill", "write_to_file", "apply_diff", "execute_command"),
    *("use_mcp_tool", "ask_followup_question", "attempt_completion", "switch_mode", "new_task", "update_todo_list"),
)
"""The tools that the built-in suite and the training pool cover; `use_mcp_tool` stands for servers' own functions."""

SKILLS = MappingProxyType(
    {
        "create-mcp-server": "Say what the server offers, choose its language, write it, then connect it in mcp.json.",
        "create-mode": "Choose slug, name, role and groups, then add the mode to .roomodes.",
    }
)
"""Instructions for rare kinds of work, by the name under which the prompt lists them."""

_PATCH_HEADERS = ("*** Add File: ", "*** Delete File: ", "*** Update File: ")


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """What one function takes.

    Attributes:
        properties: its arguments in order.
        needed: arguments that must be present, null or not.
        filled: needed arguments that must be more than empty, zero, false or null as well.
    """

    name: str
    properties: tuple[str, ...]
    needed: tuple[str, ...]
    filled: tuple[str, ...] = ()


_SPECS = (
    ToolSpec("read_file", ("path", "mode", "offset", "limit", "indentation"), ("path",)),
    ToolSpec("search_files", ("path", "regex", "file_pattern"), ("path", "regex")),
    ToolSpec("list_files", ("path", "recursive"), ("path",)),
    ToolSpec("codebase_search", ("query", "path"), ("query",)),
    ToolSpec("apply_diff", ("path", "diff"), ("path", "diff")),
    ToolSpec("write_to_file", ("path", "content"), ("path", "content")),
    ToolSpec("generate_image", ("prompt", "path", "image"), ("prompt", "path")),
    ToolSpec("execute_command", ("command", "cwd", "timeout"), ("command",), ("command",)),
    ToolSpec("read_command_output", ("artifact_id", "search", "offset", "limit"), ("artifact_id",)),
    ToolSpec("use_mcp_tool", ("server_name", "tool_name", "arguments"), ("server_name", "tool_name")),
    ToolSpec("access_mcp_resource", ("server_name", "uri"), ("server_name", "uri")),
    ToolSpec(
        "edit", ("file_path", "old_string", "new_string", "replace_all"), ("file_path", "old_string", "new_string")
    ),
    ToolSpec("search_replace", ("file_path", "old_string", "new_string"), ("file_path", "old_string", "new_string")),
    ToolSpec(
        "edit_file",
        ("file_path", "old_string", "new_string", "expected_replacements"),
        ("file_path", "old_string", "new_string"),
    ),
    ToolSpec("apply_patch", ("patch",), ("patch",)),
    ToolSpec("ask_followup_question", ("question", "follow_up"), ("question", "follow_up")),
    ToolSpec("attempt_completion", ("result",), ("result",), ("result",)),
    ToolSpec("switch_mode", ("mode_slug", "reason"), ("mode_slug", "reason")),
    ToolSpec("new_task", ("mode", "message", "todos"), ("mode", "message")),
    ToolSpec("update_todo_list", ("todos",), ("todos",)),
    ToolSpec("run_slash_command", ("command", "args"), ("command",)),
    ToolSpec("skill", ("skill", "args"), ("skill",)),
)

TOOLS = MappingProxyType({spec.name: spec for spec in _SPECS})


def patched_paths(patch: str) -> Iterable[str]:
    """Yield the paths that the headers of a patch name."""
    for line in patch.split("\n"):
        header = next((header for header in _PATCH_HEADERS if line.startswith(header)), None)
        if header:
            yield trim(line[len(header) :])


def _edited_paths(tool: str, params: Params) -> Iterable[str]:
    yield params.get("path") or params.get("file_path") or ""
    if tool == "apply_patch":
        yield from patched_paths(params.get("patch", ""))


NATIVE_RULES = ToolRules(
    names=frozenset(TOOL_NAMES),
    groups=GROUPS,
    opt_in=OPT_IN_EDIT_TOOLS,
    always_available=ALWAYS_AVAILABLE,
    edit_parameters=(
        *("diff", "content", "operations", "search", "replace", "args", "line", "patch", "old_string", "new_string"),
    ),
    edited_paths=_edited_paths,
    aliases=ALIASES,
    switches_first=True,
)
"""What the mode check knows of these functions."""


def is_known(name: str) -> bool:
    """Return whether the client's mode check takes `name` for a tool."""
    return name in NATIVE_RULES.names or name.startswith("mcp_")
