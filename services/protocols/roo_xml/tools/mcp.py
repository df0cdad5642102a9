"""`use_mcp_tool` and `access_mcp_resource`: tools and resources of connected servers."""

from services.protocols.javascript.text import parse_json
from services.protocols.roo_xml.tools.tool import Argument, Call, Params, Problem, Result, Tool, failed, mistake
from services.protocols.turn import ClientState
from services.protocols.verdict import Fault


def _use(call: Call) -> Result:
    server_name, tool_name = call.params["server_name"], call.params["tool_name"]
    try:
        parse_json(call.params.get("arguments") or "{}")
    except ValueError:
        return _refused("mcp_bad_json", f"The arguments for {tool_name} are not valid JSON.")
    servers = {server.name: server.tools for server in reversed(call.state.mcp)}
    if server_name not in servers:
        names = ", ".join(server.name for server in call.state.mcp) or "none"
        return _refused("mcp_unknown_server", f"No server {server_name!r} is connected. Connected servers: {names}.")
    if tool_name not in servers[server_name]:
        names = ", ".join(servers[server_name]) or "none"
        return _refused("mcp_unknown_tool", f"The server {server_name} has no tool {tool_name!r}. Its tools: {names}.")
    return call.answered("(The server answered nothing.)")


def _refused(code: str, sentence: str) -> Result:
    return mistake(code, sentence, fails_turn=True)


def _access(call: Call) -> Result:
    if all(server.name != call.params["server_name"] for server in call.state.mcp):
        return failed("mcp_unknown_server", f"No server {call.params['server_name']!r} is connected.", "reset")
    return call.answered("(The resource is empty.)")


def _problem(params: Params, state: ClientState) -> Problem | None:
    servers = {server.name: server.tools for server in state.mcp}
    name, tool = params["server_name"], params["tool_name"]
    if name not in servers:
        return Fault.MCP_UNKNOWN_SERVER, f"no server {name!r} is connected."
    if tool not in servers[name]:
        return Fault.MCP_UNKNOWN_TOOL, f"{name} has no tool {tool!r}."
    try:
        arguments = parse_json(params.get("arguments") or "{}")
    except ValueError:
        return Fault.BAD_JSON, "arguments is not valid JSON."
    return None if isinstance(arguments, dict) else (Fault.NOT_AN_OBJECT, "arguments is not a JSON object.")


def _normal_json(value: object) -> object:
    try:
        return parse_json(value) if isinstance(value, str) and value else {}
    except ValueError:
        return value


USE_MCP_TOOL = Tool(
    name="use_mcp_tool",
    run=_use,
    required=("server_name", "tool_name"),
    optional=("arguments",),
    group="mcp",
    is_drilled=True,
    filled=("server_name", "tool_name"),
    arguments={"arguments": Argument(normal=_normal_json)},
    problem=_problem,
    title="server_name",
)
ACCESS_MCP_RESOURCE = Tool(
    name="access_mcp_resource",
    run=_access,
    required=("server_name", "uri"),
    group="mcp",
    filled=("server_name", "uri"),
    title="server_name",
)
