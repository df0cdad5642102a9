"""The tools of the client: one module says all of a tool, and the lists here are made of those."""

from collections.abc import Iterable
from types import MappingProxyType

from services.protocols.roo.modes import Params, ToolRules
from services.protocols.roo_native.tools.command import EXECUTE_COMMAND, EXPERIMENTS, READ_COMMAND_OUTPUT
from services.protocols.roo_native.tools.edit.apply_patch import APPLY_PATCH
from services.protocols.roo_native.tools.edit.files import APPLY_DIFF, WRITE_TO_FILE
from services.protocols.roo_native.tools.edit.patch import patched_paths
from services.protocols.roo_native.tools.edit.replacement import EDIT, EDIT_FILE, SEARCH_REPLACE
from services.protocols.roo_native.tools.mcp import ACCESS_MCP_RESOURCE, USE_MCP_TOOL
from services.protocols.roo_native.tools.read_file import READ_FILE
from services.protocols.roo_native.tools.search import CODEBASE_SEARCH, LIST_FILES, SEARCH_FILES
from services.protocols.roo_native.tools.task import (
    ASK_FOLLOWUP_QUESTION,
    ATTEMPT_COMPLETION,
    NEW_TASK,
    SKILL,
    SWITCH_MODE,
    UPDATE_TODO_LIST,
)

_ALL = (
    *(READ_FILE, SEARCH_FILES, LIST_FILES, APPLY_DIFF, WRITE_TO_FILE, EXECUTE_COMMAND, READ_COMMAND_OUTPUT),
    *(USE_MCP_TOOL, ASK_FOLLOWUP_QUESTION, ATTEMPT_COMPLETION, SWITCH_MODE, NEW_TASK, UPDATE_TODO_LIST, SKILL),
    *(EDIT, SEARCH_REPLACE, EDIT_FILE, APPLY_PATCH, CODEBASE_SEARCH, ACCESS_MCP_RESOURCE, *EXPERIMENTS),
)
TOOLS = MappingProxyType({tool.name: tool for tool in _ALL})
"""Every tool by name, in the order in which the client lists them."""

DEFAULT_TOOLS = tuple(tool.name for tool in _ALL if tool.use == "default")
"""The functions that are offered without any setting."""

OPT_IN_EDIT_TOOLS = tuple(tool.name for tool in _ALL if tool.use == "opt_in")
"""Offered and allowed only where the model's own settings include them."""

DRILLED_TOOLS = tuple(tool.name for tool in _ALL if tool.is_drilled)
"""The tools that the built-in suite and the training data cover; `use_mcp_tool` stands for servers' own functions."""

ALIASES = MappingProxyType({tool.alias: tool.name for tool in _ALL if tool.alias})
"""Names that a model may write instead of a tool's own."""

CUSTOM_TOOL = "custom_tool"
"""A name that the client knows, but has no arguments for."""

_OLDER_PARAMETERS = (
    *("action", "anchor_line", "coordinate", "end_line", "files", "include_header", "include_siblings", "line"),
    *("line_ranges", "max_levels", "max_lines", "operations", "size", "start_line", "task", "text", "url"),
)
PARAMETER_NAMES = frozenset((*_OLDER_PARAMETERS, *(name for tool in _ALL for name in tool.arguments)))
"""Every key that the client keeps of a call beside its typed arguments."""


def _edited_paths(tool: str, params: Params) -> Iterable[str]:
    yield params.get("path") or params.get("file_path") or ""
    if tool == APPLY_PATCH.name:
        yield from patched_paths(params.get("patch", ""))


def _group(name: str) -> tuple[str, ...]:
    return tuple(tool.name for tool in _ALL if tool.group == name and tool.use != "opt_in")


NATIVE_RULES = ToolRules(
    # The alias `search_and_replace` passes as known by itself, `write_file` does not.
    names=frozenset((*TOOLS, "search_and_replace", CUSTOM_TOOL)),
    groups={name: _group(name) for name in ("read", "edit", "command", "mcp")},
    opt_in=OPT_IN_EDIT_TOOLS,
    always_available=_group(""),
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
