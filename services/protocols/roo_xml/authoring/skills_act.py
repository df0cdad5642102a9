"""Skills that act outside the files: execute_command and use_mcp_tool."""

from __future__ import annotations

import json

from services.protocols.cases import McpServer
from services.protocols.roo_xml.authoring.draft import Draft
from services.protocols.roo_xml.authoring.draw import Draw
from services.protocols.roo_xml.authoring.skills_read import listing

_COMMAND_MODES = ("code", "code", "debug")
_MCP_MODES = ("code", "debug", "ask", "architect")


def run_command(draw: Draw) -> Draft:
    """A dictated command."""
    command = draw.word("command")
    return Draft({"command": command}, {"command": command}, draw.pick(_COMMAND_MODES))


def run_in_folder(draw: Draw) -> Draft:
    """A dictated command in a folder."""
    command, folder = draw.word("command"), draw.word("folder")
    params = {"command": command, "cwd": folder}
    return Draft(params, {"command": command, "folder": folder}, draw.pick(_COMMAND_MODES))


def run_tab(draw: Draw) -> Draft:
    """The script that is open in the editor."""
    path = draw.word("script")
    params = {"command": f"bash {path}"}
    return Draft(params, {}, draw.pick(_COMMAND_MODES), open_tabs=(path,), workspace=listing(draw, path))


def _servers(draw: Draw, server: str, tool: str) -> tuple[McpServer, ...]:
    """Return `server` with `tool` and another server without it, in random order."""
    while (other := draw.word("server")) == server:
        pass
    spare = [name for name in draw.several("server_tool", 3) if name != tool]
    mine = McpServer(server, (tool, spare[0]) if draw.number(0, 1) else (spare[0], tool))
    servers = (mine, McpServer(other, (spare[1],)))
    return servers if draw.number(0, 1) else servers[::-1]


def _mcp(draw: Draw, extra: dict[str, object], slots: dict[str, str]) -> Draft:
    server, tool = draw.word("server"), draw.word("server_tool")
    key, value = draw.word("key"), draw.word("value")
    params = {
        "server_name": server,
        "tool_name": tool,
        "arguments": json.dumps({key: value, **extra}, ensure_ascii=False),
    }
    slots = {"server": server, "tool": tool, "key": key, "value": value, **slots}
    return Draft(params, slots, draw.pick(_MCP_MODES), mcp=_servers(draw, server, tool))


def mcp_one(draw: Draw) -> Draft:
    """A tool of a named server with one argument."""
    return _mcp(draw, {}, {})


def mcp_two(draw: Draw) -> Draft:
    """A tool of a named server with a text and a number."""
    key, number = draw.word("count_key"), draw.number(2, 60)
    return _mcp(draw, {key: number}, {"key2": key, "number": str(number)})
