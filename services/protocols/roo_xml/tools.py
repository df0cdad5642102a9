"""The tool catalogue of the client: names, groups, what each call must carry."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

CLIENT_VERSION = "3.36.16"

GROUPS = MappingProxyType(
    {
        "read": ("read_file", "fetch_instructions", "search_files", "list_files", "codebase_search"),
        "edit": ("apply_diff", "write_to_file", "generate_image"),
        "browser": ("browser_action",),
        "command": ("execute_command",),
        "mcp": ("use_mcp_tool", "access_mcp_resource"),
    }
)

OPT_IN_EDIT_TOOLS = ("search_and_replace", "search_replace", "edit_file", "apply_patch")
"""Recognised by the parser, allowed only where the model's own settings include them."""

ALWAYS_AVAILABLE = (
    "ask_followup_question",
    "attempt_completion",
    "switch_mode",
    "new_task",
    "update_todo_list",
    "run_slash_command",
)

TOOL_NAMES = (
    *(name for names in GROUPS.values() for name in names),
    *OPT_IN_EDIT_TOOLS,
    *ALWAYS_AVAILABLE,
)

PARAMETER_NAMES = (
    *("command", "path", "content", "regex", "file_pattern", "recursive", "action", "url", "coordinate", "text"),
    *("server_name", "tool_name", "arguments", "uri", "question", "result", "diff", "mode_slug", "reason", "line"),
    *("mode", "message", "cwd", "follow_up", "task", "size", "query", "args", "start_line", "end_line", "todos"),
    *("prompt", "image", "files", "operations", "patch", "file_path", "old_string", "new_string"),
    "expected_replacements",
)
"""Every tag that opens a parameter, whatever the tool around it."""

DRILLED_TOOLS = (
    *("read_file", "search_files", "list_files", "fetch_instructions", "write_to_file", "apply_diff"),
    *("execute_command", "use_mcp_tool", "ask_followup_question", "attempt_completion", "switch_mode"),
    *("new_task", "update_todo_list"),
)
"""The tools that the built-in suite and the training pool cover, in the prompt's order."""

CLASSIC_VERSION = "3.31.3"

CLASSIC_PARAMETER_NAMES = (*PARAMETER_NAMES[:-7], "line_count")
"""The same for the classic client: none of the last seven, but the count of lines."""

INSTRUCTION_TASKS = ("create_mcp_server", "create_mode")


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """What one tool takes.

    Attributes:
        required: parameters without which the client refuses the call.
        demanded: parameters that the prompt demands beyond those.
        optional: parameters that may be left out.
        ignored: parameters of an older form, which the client still reads and makes nothing of.
    """

    name: str
    required: tuple[str, ...]
    demanded: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def parameters(self) -> tuple[str, ...]:
        """All parameters that belong to the tool today."""
        return (*self.required, *self.demanded, *self.optional)


_SPECS = (
    ToolSpec("read_file", (), ("args",)),
    ToolSpec("search_files", ("path", "regex"), optional=("file_pattern",)),
    ToolSpec("list_files", ("path",), optional=("recursive",)),
    ToolSpec("codebase_search", ("query",), optional=("path",)),
    ToolSpec("fetch_instructions", ("task",)),
    ToolSpec("write_to_file", ("path",), ("content",)),
    ToolSpec("apply_diff", ("path", "diff")),
    ToolSpec("generate_image", ("prompt", "path"), optional=("image",)),
    ToolSpec("execute_command", ("command",), optional=("cwd",)),
    ToolSpec("browser_action", ("action",), optional=("url", "coordinate", "size", "text", "path")),
    ToolSpec("use_mcp_tool", ("server_name", "tool_name"), optional=("arguments",)),
    ToolSpec("access_mcp_resource", ("server_name", "uri")),
    ToolSpec("ask_followup_question", ("question",), ("follow_up",)),
    ToolSpec("attempt_completion", ("result",), ignored=("command",)),
    ToolSpec("switch_mode", ("mode_slug",), ("reason",)),
    ToolSpec("new_task", ("mode", "message"), optional=("todos",)),
    ToolSpec("update_todo_list", (), ("todos",)),
    ToolSpec("run_slash_command", ("command",), optional=("args",)),
    ToolSpec("search_and_replace", ("path", "operations")),
    ToolSpec("search_replace", ("file_path", "old_string", "new_string")),
    ToolSpec("edit_file", ("file_path", "old_string", "new_string"), optional=("expected_replacements",)),
    ToolSpec("apply_patch", ("patch",)),
)

TOOLS = MappingProxyType({spec.name: spec for spec in _SPECS})

_CHANGED_SPECS = (
    ToolSpec("write_to_file", ("path", "content"), ("line_count",)),
    ToolSpec("browser_action", ("action",), optional=("url", "coordinate", "size", "text")),
)
_CLASSIC_SPECS = (
    *(spec for spec in _SPECS if spec.name not in (*OPT_IN_EDIT_TOOLS, *(spec.name for spec in _CHANGED_SPECS))),
    *_CHANGED_SPECS,
    ToolSpec("insert_content", ("path", "line", "content")),
    ToolSpec("list_code_definition_names", ("path",)),
)

CLASSIC_TOOLS = MappingProxyType({spec.name: spec for spec in _CLASSIC_SPECS})
"""The tools of the classic client."""
