"""Modes: which tools each offers, and which paths it lets a tool edit."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from services.protocols.javascript.patterns import compiled

Refusal = Literal["unknown_tool", "not_allowed_in_mode", "file_pattern"]
Params = Mapping[str, str]

_MCP_PREFIX = "mcp_"
"""Begins the name of a server's tool when it is called by itself."""


@dataclass(frozen=True, slots=True)
class ToolRules:
    """What a client's mode check knows of its tools.

    Attributes:
        names: every known tool.
        groups: tools by group.
        opt_in: editing tools that only the model's own settings bring in.
        always_available: tools that every mode offers.
        edit_parameters: parameters of which one must be there before a path pattern counts.
        edited_paths: from a tool and its parameters to the paths that the call edits; empty ones do not count.
        aliases: other names of tools that groups, opt-in and switches know by their own.
        switches_first: a switched-off tool stays off even if it is always available.
        knows_names: an unknown name is refused as such, and one like a server's tool is let through as that tool.
    """

    names: Collection[str]
    groups: Mapping[str, Collection[str]]
    opt_in: Collection[str]
    always_available: Collection[str]
    edit_parameters: tuple[str, ...]
    edited_paths: Callable[[str, Params], Iterable[str]]
    aliases: Mapping[str, str] = field(default_factory=dict)
    switches_first: bool = False
    knows_names: bool = True


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
    # The first entry of a group is the one that counts.
    patterns = dict(reversed(entries))
    name = document.get("name")
    return Mode(
        slug,
        name if isinstance(name, str) else slug,
        tuple(name for name, _ in entries),
        MappingProxyType({name: pattern for name, pattern in patterns.items() if pattern is not None}),
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
    params: Params,
    *,
    included_tools: Collection[str] = (),
    requirements: Mapping[str, bool] = MappingProxyType({}),
    rules: ToolRules,
) -> Refusal | None:
    """Return why the client refuses `tool` in `mode`, or None when it lets it through.

    Args:
        tool: name as the answer writes it.
        mode: None stands for an unknown mode, which has no groups.
        params: the call's parameters; a path pattern counts once an edit parameter is among them.
        included_tools: opt-in tools of the model.
        requirements: False by tool name switches a tool off.
        rules: the client's.
    """
    if rules.knows_names and tool not in rules.names and not tool.startswith(_MCP_PREFIX):
        return "unknown_tool"
    names = (tool, rules.aliases.get(tool, tool)) if requirements else ()
    is_off = any(requirements.get(name) is False for name in names)
    if tool in rules.always_available:
        return "not_allowed_in_mode" if is_off and rules.switches_first else None
    if is_off or mode is None:
        return "not_allowed_in_mode"
    return _in_groups(tool, mode, params, included_tools, rules)


def _in_groups(tool: str, mode: Mode, params: Params, included: Collection[str], rules: ToolRules) -> Refusal | None:
    if rules.knows_names and tool.startswith(_MCP_PREFIX):
        return None if "mcp" in mode.groups else "not_allowed_in_mode"
    name = rules.aliases.get(tool, tool)
    is_in = name in rules.opt_in and name in {rules.aliases.get(other, other) for other in included}
    for group in mode.groups:
        if name in rules.groups.get(group, ()) or (is_in and group == "edit"):
            pattern = mode.patterns.get("edit") if group == "edit" else None
            return "file_pattern" if pattern and _violates(pattern, tool, params, rules) else None
    return "not_allowed_in_mode"


def _violates(pattern: str, tool: str, params: Params, rules: ToolRules) -> bool:
    if not any(params.get(name) for name in rules.edit_parameters):
        return False
    expression = compiled(pattern)
    paths = filter(None, rules.edited_paths(tool, params))
    return any(expression is None or not expression.search(path) for path in paths)
