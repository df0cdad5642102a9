"""What the client tells in the block that closes every message."""

from __future__ import annotations

from collections.abc import Sequence

from services.protocols.cases import McpServer
from services.protocols.roo.environment import environment_block, todo_table


def environment(
    mode: str,
    *,
    todos: Sequence[tuple[str, str]] = (),
    mcp: Sequence[McpServer] = (),
    open_tabs: Sequence[str] = (),
    workspace: Sequence[str] = (),
) -> str:
    """Return the block; a section without content is left out."""
    return environment_block(
        ("# VSCode Open Tabs", open_tabs),
        ("# Current Mode", (f"<slug>{mode}</slug>",)),
        ("# MCP Servers", [f"{server.name}: {', '.join(server.tools)}" for server in mcp]),
        ("# Workspace Files", workspace),
        ("# Todo List", todo_table(todos, is_ruled=False)),
    )
