#!/bin/sh
# Package: mcp 2.3.0 (PyPI), MCPServer.
# Expected: an argument that is a string in the call, as the tool's published schema asks, arrives as this string.
# What happens: where the parameter is annotated with `str | None` rather than `str`, a text that is a JSON object or
#   array is parsed first, and the call is refused for not being a string; the text "null" arrives as None, without a
#   word. With `str` all four texts arrive as they are.
# A tool that writes files refuses package.json as content, because a caller may leave the content out.
# Known as modelcontextprotocol/python-sdk#3055, open.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check mcp==2.3.0
"$work/venv/bin/python" - 2>/dev/null <<'PYTHON'
import asyncio

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("example")


@server.tool()
def plain(content: str) -> str:
    return repr(content)


@server.tool()
def optional(content: str | None = None) -> str:
    return repr(content)


async def arrival(tool: str, content: str) -> str:
    """Return how the tool saw this content."""
    try:
        result = await server.call_tool(tool, {"content": content})
    except ToolError:
        return "refused"
    return result.content[0].text


async def main() -> list[list[str]]:
    texts = ("hello", '{"name": "example"}', '["a"]', "null")
    return [[await arrival(tool, text) for text in texts] for tool in ("plain", "optional")]


plain_texts, optional_texts = asyncio.run(main())
print("str:       ", *plain_texts)
print("str | None:", *optional_texts)
as_described = plain_texts == ["'hello'", "'{\"name\": \"example\"}'", "'[\"a\"]'", "'null'"]
raise SystemExit(not (as_described and optional_texts == ["'hello'", "refused", "refused", "None"]))
PYTHON
