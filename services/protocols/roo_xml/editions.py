"""The client's two editions that speak XML: the reference, and the classic one that knows nothing else."""

import re
from collections.abc import Iterable, Mapping

from services.protocols.javascript.text import trim
from services.protocols.roo.modes import ToolRules
from services.protocols.roo_xml.tools import CLASSIC_TOOLS, TOOLS
from services.protocols.roo_xml.tools.tool import Edition, Params, Tool

_PATH_ELEMENT = re.compile("<path>([^<]+)</path>")


def _edited_paths(tool: str, params: Params) -> Iterable[str]:
    named = map(trim, _PATH_ELEMENT.findall(params.get("args", "")))
    return (params.get("path", ""), *(path for path in named if ">" not in path))


def _rules(tools: Mapping[str, Tool], *, knows_names: bool) -> ToolRules:
    def group(name: str) -> tuple[str, ...]:
        return tuple(tool.name for tool in tools.values() if tool.group == name and not tool.is_opt_in)

    return ToolRules(
        names=tuple(tools),
        groups={name: group(name) for name in ("read", "edit", "browser", "command", "mcp")},
        opt_in=tuple(tool.name for tool in tools.values() if tool.is_opt_in),
        always_available=group(""),
        edit_parameters=("diff", "content", "operations", "search", "replace", "args", "line"),
        edited_paths=_edited_paths,
        knows_names=knows_names,
    )


def _parameters(tools: Mapping[str, Tool], *older: str) -> frozenset[str]:
    return frozenset((*older, *(name for tool in tools.values() for name in (*tool.parameters, *tool.ignored))))


REFERENCE = Edition(
    version="3.36.16",
    is_classic=False,
    tools=TOOLS,
    parameters=_parameters(TOOLS, "line", "start_line", "end_line", "files"),
    mode_rules=_rules(TOOLS, knows_names=True),
)
CLASSIC = Edition(
    version="3.31.3",
    is_classic=True,
    tools=CLASSIC_TOOLS,
    parameters=_parameters(CLASSIC_TOOLS, "start_line", "end_line"),
    mode_rules=_rules(CLASSIC_TOOLS, knows_names=False),
)
