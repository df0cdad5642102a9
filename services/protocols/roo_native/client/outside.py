"""Calls that reach beyond the workspace: commands, servers, what only an experiment offers."""

from __future__ import annotations

from services.protocols.roo.file_text import decoded
from services.protocols.roo_native.client.call import Call, Result, failed, hidden, missing, wrong_type
from services.protocols.roo_native.parse.mcp_names import found_alike, sanitised
from services.protocols.turn import ClientState


def execute_command(call: Call) -> Result:
    """Offer a command to the user, unless it would print a file that is kept from the model."""
    command = call.text("command")
    if command is None:
        return wrong_type(call, "command")
    command = decoded(command)
    if path := call.rules.hidden_argument(command):
        return hidden(path)
    where = call.text("cwd") or "."
    return call.offered(
        lambda: f"The command ran in the folder '{where}'. Exit code: 0\nOutput:\n{call.answer_of_case('')}"
    )


def server_of(state: ClientState, name: str) -> str:
    """Return the name of the connected server that a function's name means; `name` itself where there is none.

    That is the server of this very name, else the last one whose name is sanitised to it, else the first one whose name
    is the same but for `-` and `_`.
    """
    names = [server.name for server in state.mcp]
    if name in names:
        return name
    sanitised_to_it = (known for known in reversed(names) if sanitised(known) == name)
    return next(sanitised_to_it, None) or found_alike(name, names) or name


def use_mcp_tool(call: Call) -> Result:
    """Call a server's tool."""
    if lacking := call.lacks("server_name", "tool_name"):
        return missing(call, lacking)
    server_name, tool_name = call.arguments["server_name"], call.arguments["tool_name"]
    if not isinstance(call.arguments.get("arguments", {}), dict):
        return _mcp_failure("mcp_bad_json", f"The arguments for {tool_name} must be a JSON object.")
    tools = next((server.tools for server in call.state.mcp if server.name == server_name), None)
    if tools is None:
        known = ", ".join(server.name for server in call.state.mcp) or "none"
        return _mcp_failure("mcp_unknown_server", f"No server {server_name!r} is connected. Connected: {known}.")
    if not isinstance(tool_name, str) or found_alike(tool_name, tools) is None:
        known = ", ".join(tools) or "none"
        return _mcp_failure("mcp_unknown_tool", f"{server_name} has no tool {tool_name!r}. Its tools: {known}.")
    return call.offered(lambda: call.answer_of_case("(The server answered nothing.)"))


def _mcp_failure(code: str, sentence: str) -> Result:
    return failed(code, sentence, "mistake", records_failure=True, fails_turn=True)


def access_mcp_resource(call: Call) -> Result:
    """Read a server's resource; an unknown server is an error that the client counts nowhere."""
    if lacking := call.lacks("server_name", "uri"):
        return missing(call, lacking)
    server_name = call.arguments["server_name"]
    if all(server.name != server_name for server in call.state.mcp):
        return failed("mcp_unknown_server", f"No server {server_name!r} is connected.", "reset")
    return call.offered(lambda: call.answer_of_case("(The resource is empty.)"))


def switched_off(call: Call) -> Result:
    """Refuse what only an experiment switches on."""
    return failed("experiment_off", f"{call.tool} belongs to an experiment that is switched off in the settings.")
