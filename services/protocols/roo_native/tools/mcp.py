"""`use_mcp_tool`: a call of a server's tool, which the model writes as a function `mcp--server--tool`."""

from services.protocols.roo.normal_forms import defaulted
from services.protocols.roo_native.parse.mcp_names import name_alike, sanitised
from services.protocols.roo_native.tools.tool import Argument, Call, Result, Tool, failed, mistake
from services.protocols.turn import ClientState


def server_of(state: ClientState, name: str) -> str:
    """Return the name of the connected server that a function's name means; `name` itself where there is none.

    That is the server of this very name, else the last one whose name is sanitised to it, else the first one whose name
    is the same but for `-` and `_`.
    """
    names = [server.name for server in state.mcp]
    if name in names:
        return name
    alike = (connected for connected in reversed(names) if sanitised(connected) == name)
    return next(alike, None) or name_alike(name, names) or name


def _use(call: Call) -> Result:
    server_name, tool_name = call.arguments["server_name"], call.arguments["tool_name"]
    if not isinstance(call.arguments.get("arguments", {}), dict):
        return mistake("mcp_bad_json", f"The arguments for {tool_name} must be a JSON object.", fails_turn=True)
    tools = next((server.tools for server in call.state.mcp if server.name == server_name), None)
    if tools is None:
        names = ", ".join(server.name for server in call.state.mcp) or "none"
        sentence = f"No server {server_name!r} is connected. Connected: {names}."
        return mistake("mcp_unknown_server", sentence, fails_turn=True)
    if not isinstance(tool_name, str) or name_alike(tool_name, tools) is None:
        sentence = f"{server_name} has no tool {tool_name!r}. Its tools: {', '.join(tools) or 'none'}."
        return mistake("mcp_unknown_tool", sentence, fails_turn=True)
    return call.answered("(The server answered nothing.)")


USE_MCP_TOOL = Tool(
    name="use_mcp_tool",
    run=_use,
    arguments={
        "server_name": Argument("present"),
        "tool_name": Argument("present"),
        "arguments": Argument(normal=defaulted({})),
    },
    group="mcp",
    use="rare",
    is_drilled=True,
    filled=("server_name", "tool_name"),
)


def _access(call: Call) -> Result:
    server_name = call.arguments["server_name"]
    if all(server.name != server_name for server in call.state.mcp):
        # The client counts this error nowhere.
        return failed("mcp_unknown_server", f"No server {server_name!r} is connected.", "reset")
    return call.answered("(The resource is empty.)")


ACCESS_MCP_RESOURCE = Tool(
    name="access_mcp_resource",
    run=_access,
    arguments={"server_name": Argument("present"), "uri": Argument("present")},
    group="mcp",
    use="rare",
    filled=("server_name", "uri"),
)
