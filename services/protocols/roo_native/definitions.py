"""The function definitions that go beside the messages, in OpenAI's form."""

import tomllib
from collections.abc import Collection, Mapping, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

from services.protocols.cases import McpServer
from services.protocols.roo.modes import Mode, refusal
from services.protocols.roo_native.parse.mcp_names import write_mcp_name
from services.protocols.roo_native.tools import DEFAULT_TOOLS, NATIVE_RULES

Definition = dict[str, object]


def offered_tools(
    mode: Mode, included_tools: Collection[str] = (), excluded_tools: Collection[str] = ()
) -> tuple[str, ...]:
    """Return the names of the client's own functions that `mode` offers, in the order of the catalogue."""
    return _offered_tools(mode.groups, frozenset(included_tools), frozenset(excluded_tools))


@lru_cache(maxsize=256)
def _offered_tools(groups: tuple[str, ...], included: frozenset[str], excluded: frozenset[str]) -> tuple[str, ...]:
    mode = Mode("", "", groups)
    names = {*DEFAULT_TOOLS, *(NATIVE_RULES.aliases.get(name, name) for name in included)} - excluded
    return tuple(
        name
        for name in _catalogue()
        if name in names and refusal(name, mode, {}, included_tools=included, rules=NATIVE_RULES) is None
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
    own = [
        _function(
            name,
            description=_catalogue()[name]["description"].strip("\n"),
            strict=True,
            parameters=schema_of(name).document,
        )
        for name in offered_tools(mode, included_tools, excluded_tools)
    ]
    anything = {"type": "object", "properties": {}, "additionalProperties": True}
    names = server_functions(servers) if "mcp" in mode.groups else ()
    return own + [_function(name, parameters=dict(anything)) for name in names]


def server_functions(servers: Sequence[McpServer]) -> list[str]:
    """Return the names of the functions that stand for the servers' tools."""
    return [write_mcp_name(server.name, tool) for server in servers for tool in server.tools]


class Schema(NamedTuple):
    """What a function takes: the JSON schema of its arguments, and what stands in it."""

    properties: Mapping[str, object]
    required: Collection[str]
    document: Definition


@cache
def schema_of(tool: str) -> Schema:
    """Return what a function takes."""
    text = _catalogue()[tool]
    properties, required = text["properties"], text["required"]
    document = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return Schema(properties, required, document)


@cache
def _catalogue() -> Mapping[str, Mapping[str, Any]]:
    text = files(__package__).joinpath("prompts", "tools.toml").read_text(encoding="utf-8")
    return {tool["name"]: tool for tool in tomllib.loads(text)["tools"]}


def _function(name: str, **description: object) -> Definition:
    return {"type": "function", "function": {"name": name, **description}}
