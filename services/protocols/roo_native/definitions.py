"""The function definitions that go beside the messages, in OpenAI's form."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from services.protocols.cases import McpServer
from services.protocols.roo.modes import Mode, refusal
from services.protocols.roo_native.parse.mcp_names import write_mcp_name
from services.protocols.roo_native.tools import DEFAULT_TOOLS, NATIVE_RULES

Definition = dict[str, object]


def offered_tools(
    mode: Mode, included_tools: Collection[str] = (), excluded_tools: Collection[str] = ()
) -> tuple[str, ...]:
    """Return the names of the client's own functions that `mode` offers, in the order of the catalogue."""
    wanted = {*DEFAULT_TOOLS, *(NATIVE_RULES.aliases.get(name, name) for name in included_tools)} - {*excluded_tools}
    return tuple(
        name
        for name in _catalogue()
        if name in wanted and refusal(name, mode, {}, included_tools=included_tools, rules=NATIVE_RULES) is None
    )


def definitions(
    mode: Mode,
    servers: Sequence[McpServer],
    *,
    included_tools: Collection[str] = (),
    excluded_tools: Collection[str] = (),
) -> list[Definition]:
    """Return what `mode` offers: the client's own functions, and behind them those of the connected servers.

    Args:
        mode: the current one.
        servers: the connected ones; what arguments their tools take is not known.
        included_tools: opt-in tools of the model.
        excluded_tools: tools that the model's settings leave out.
    """
    own = [_definition(name) for name in offered_tools(mode, included_tools, excluded_tools)]
    return own + ([_server_function(name) for name in server_functions(servers)] if "mcp" in mode.groups else [])


def server_functions(servers: Sequence[McpServer]) -> list[str]:
    """Return the names of the functions that stand for the servers' tools."""
    return [write_mcp_name(server.name, tool) for server in servers for tool in server.tools]


def schema_of(tool: str) -> Mapping[str, object]:
    """Return the JSON schema of a function's arguments."""
    return _schema(_catalogue()[tool])


@cache
def _catalogue() -> Mapping[str, Mapping[str, object]]:
    text = files(__package__).joinpath("prompts", "tools.toml").read_text(encoding="utf-8")
    return MappingProxyType({tool["name"]: tool for tool in tomllib.loads(text)["tools"]})


def _definition(name: str) -> Definition:
    tool = _catalogue()[name]
    function = {"name": name, "description": str(tool["description"]).strip("\n"), "strict": True}
    return {"type": "function", "function": {**function, "parameters": _schema(tool)}}


def _schema(tool: Mapping[str, object]) -> Definition:
    return {
        "type": "object",
        "properties": tool["properties"],
        "required": tool["required"],
        "additionalProperties": False,
    }


def _server_function(name: str) -> Definition:
    parameters = {"type": "object", "properties": {}, "additionalProperties": True}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}
