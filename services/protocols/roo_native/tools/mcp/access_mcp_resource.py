"""`access_mcp_resource`: what a server has to read."""

from __future__ import annotations

from services.protocols.roo_native.tools.tool import Argument, Call, Result, Tool, failed


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
