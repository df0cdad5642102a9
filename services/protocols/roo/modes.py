"""Modes: which tools each offers, and which paths it lets a tool edit."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

from services.protocols.roo_xml.tools import ALWAYS_AVAILABLE, GROUPS, OPT_IN_EDIT_TOOLS, TOOL_NAMES

Refusal = Literal["unknown_tool", "not_allowed_in_mode", "file_pattern"]

_MCP_PREFIX = "mcp_"
"""Begins the name of a server's tool when it is called by itself."""

_EDIT_PARAMETERS = ("diff", "content", "operations", "patch", "old_string", "new_string", "prompt", "line", "search")


@dataclass(frozen=True, slots=True)
class Mode:
    """A mode: its tool groups, and per group the pattern that edited paths must match.

    Attributes:
        patterns: ECMAScript regular expressions by group, unanchored.
    """

    slug: str
    name: str
    groups: tuple[str, ...]
    patterns: Mapping[str, str] = field(default_factory=dict)


_ALL = ("read", "edit", "browser", "command", "mcp")
_BUILT_IN = (
    Mode("architect", "🏗️ Architect", ("read", "edit", "browser", "mcp"), MappingProxyType({"edit": r"\.md$"})),
    Mode("code", "💻 Code", _ALL),
    Mode("ask", "❓ Ask", ("read", "browser", "mcp")),
    Mode("debug", "🪲 Debug", _ALL),
    Mode("orchestrator", "🪃 Orchestrator", ()),
)
BUILT_IN_MODES = MappingProxyType({mode.slug: mode for mode in _BUILT_IN})


class BadMode(ValueError):
    """A custom mode's document is not readable."""


def mode_from_document(document: Mapping[str, object]) -> Mode:
    """Return the mode that the client's own mode object describes.

    Raises:
        BadMode: slug or groups are missing or of the wrong type.
    """
    slug, groups = document.get("slug"), document.get("groups")
    if not isinstance(slug, str) or not isinstance(groups, Sequence) or isinstance(groups, str):
        raise BadMode("a mode needs a slug and a list of groups")
    entries = [_group(entry) for entry in groups]
    patterns = {name: pattern for name, pattern in entries if pattern is not None}
    name = document.get("name")
    return Mode(
        slug, name if isinstance(name, str) else slug, tuple(name for name, _ in entries), MappingProxyType(patterns)
    )


def _group(entry: object) -> tuple[str, str | None]:
    if isinstance(entry, str):
        return entry, None
    if isinstance(entry, Sequence) and entry and isinstance(entry[0], str):
        options = entry[1] if len(entry) > 1 and isinstance(entry[1], Mapping) else {}
        pattern = options.get("fileRegex")
        return entry[0], pattern if isinstance(pattern, str) else None
    raise BadMode(f"a group is a name, or a name with options, not {entry!r}")


def find_mode(slug: str, custom_modes: Sequence[Mapping[str, object]] = ()) -> Mode | None:
    """Return the mode of that slug; a custom one overrides a built-in one."""
    for document in custom_modes:
        if document.get("slug") == slug:
            return mode_from_document(document)
    return BUILT_IN_MODES.get(slug)


def refusal(
    tool: str,
    mode: Mode | None,
    params: Mapping[str, str],
    *,
    included_tools: Collection[str] = (),
    requirements: Mapping[str, bool] = MappingProxyType({}),
) -> Refusal | None:
    """Return why the client refuses `tool` in `mode`, or None when it lets it through.

    Args:
        tool: name as the answer writes it.
        mode: None stands for an unknown mode, which has no groups.
        params: the call's parameters; a path pattern counts once an edit parameter is among them.
        included_tools: opt-in tools of the model.
        requirements: False by tool name switches a tool off.
    """
    if tool not in TOOL_NAMES and not tool.startswith(_MCP_PREFIX):
        return "unknown_tool"
    if tool in ALWAYS_AVAILABLE:
        return None
    if requirements.get(tool) is False or mode is None:
        return "not_allowed_in_mode"
    return _in_groups(tool, mode, params, included_tools)


def _in_groups(tool: str, mode: Mode, params: Mapping[str, str], included: Collection[str]) -> Refusal | None:
    for group in mode.groups:
        opted_in = group == "edit" and tool in OPT_IN_EDIT_TOOLS and tool in included
        is_mcp = group == "mcp" and tool.startswith(_MCP_PREFIX)
        if tool not in GROUPS.get(group, ()) and not opted_in and not is_mcp:
            continue
        pattern = mode.patterns.get(group)
        return "file_pattern" if pattern is not None and _violates(pattern, params) else None
    return "not_allowed_in_mode"


def _violates(pattern: str, params: Mapping[str, str]) -> bool:
    path = params.get("path")
    if not path or not any(params.get(name) for name in _EDIT_PARAMETERS):
        return False
    compiled = _compiled(pattern)
    return compiled is None or compiled.search(path) is None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    """Return the Python form of an ECMAScript expression, or None when it has none; no path matches then."""
    text = re.sub(r"\(\?<([A-Za-z_]\w*)>", r"(?P<\1>", pattern)
    text = re.sub(r"((?:^|[^\\])(?:\\\\)*)\$(?!\))$", r"\1\\Z", text)
    try:
        return re.compile(text, re.ASCII)
    except re.error:
        return None
