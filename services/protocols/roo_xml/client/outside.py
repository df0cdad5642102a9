"""Calls that reach beyond the workspace: commands, servers, the browser."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from services.protocols.javascript import SPACE_CLASS as S
from services.protocols.javascript import parse_json
from services.protocols.roo_xml.client.call import Call, Result, failed, missing

_POINT = re.compile(rf"{S}*[0-9]+{S}*,{S}*[0-9]+{S}*@{S}*[0-9]+{S}*[x,]{S}*[0-9]+{S}*")
_CLASSIC_NEEDS: Mapping[str, str] = MappingProxyType(
    {"scroll_down": "", "scroll_up": "", "close": "", "launch": "url", "hover": "coordinate", "click": "coordinate"}
    | {"type": "text", "resize": "size"}
)
"""What each browser action of the classic client needs besides itself."""

_BROWSER_NEEDS: Mapping[str, str] = MappingProxyType({**_CLASSIC_NEEDS, "press": "text", "screenshot": "path"})
"""The same for the reference client."""


def execute_command(call: Call) -> Result:
    """Offer a command to the user, unless it would print a file that is kept from the model."""
    if lacking := call.lacks("command"):
        return missing(call, lacking)
    # The client looks at the text as written, and decodes its entities afterwards.
    if hidden := call.rules.hidden_argument(call.params["command"]):
        return failed("ignored_file", f"The command would print {hidden}, which .rooignore keeps from you.")
    where = call.params.get("cwd") or "."
    return call.offered(lambda: lambda: _output(call, where))


def _output(call: Call, where: str) -> str:
    return f"The command ran in the folder '{where}'. Exit code: 0\nOutput:\n{call.answer_of_case('')}"


def use_mcp_tool(call: Call) -> Result:
    """Call a server's tool."""
    if lacking := call.lacks("server_name", "tool_name"):
        return missing(call, lacking)
    server_name, tool_name = call.params["server_name"], call.params["tool_name"]
    if not _is_json(call.params.get("arguments")):
        return _mcp_failure(call, "mcp_bad_json", f"The arguments for {tool_name} are not valid JSON.")
    servers = {server.name: server.tools for server in reversed(call.state.mcp)}
    if server_name not in servers:
        known = ", ".join(server.name for server in call.state.mcp) or "none"
        sentence = f"No server {server_name!r} is connected. Connected servers: {known}."
        return _mcp_failure(call, "mcp_unknown_server", sentence)
    if tool_name not in servers[server_name]:
        known = ", ".join(servers[server_name]) or "none"
        sentence = f"The server {server_name} has no tool {tool_name!r}. Its tools: {known}."
        return _mcp_failure(call, "mcp_unknown_tool", sentence)
    return call.offered(lambda: lambda: call.answer_of_case("(The server answered nothing.)"))


def _is_json(text: str | None) -> bool:
    if text:
        try:
            parse_json(text)
        except ValueError:
            return False
    return True


def _mcp_failure(call: Call, code: str, sentence: str) -> Result:
    return failed(code, sentence, "mistake", records_failure=True, fails_turn=True)


def access_mcp_resource(call: Call) -> Result:
    """Read a server's resource; an unknown server is an error that the client counts nowhere."""
    if lacking := call.lacks("server_name", "uri"):
        return missing(call, lacking)
    if all(server.name != call.params["server_name"] for server in call.state.mcp):
        return failed("mcp_unknown_server", f"No server {call.params['server_name']!r} is connected.", "reset")
    return call.offered(lambda: lambda: call.answer_of_case("(The resource is empty.)"))


def browser_action(call: Call) -> Result:
    """Do something in the browser; only the reference client wants a point to say the size of its picture."""
    is_classic, action = call.edition.is_classic, call.params.get("action", "")
    needs = _CLASSIC_NEEDS if is_classic else _BROWSER_NEEDS
    if action not in needs:
        return missing(call, "action", fails_turn=True)
    needed = needs[action]
    value = call.params.get(needed, "")
    if needed and (not value or (needed == "coordinate" and not is_classic and not _POINT.fullmatch(value))):
        return missing(call, needed, fails_turn=True)
    return call.offered(lambda: lambda: call.answer_of_case("The browser did it. There are no new console messages."))
