"""The block that closes every message to the model: where it works, and what is left to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from services.protocols.cases import McpServer

_STATUS = {"pending": "Pending", "in_progress": "In Progress", "completed": "Completed"}


def environment(
    mode: str,
    *,
    todos: Sequence[tuple[str, str]] = (),
    mcp: Sequence[McpServer] = (),
    open_tabs: Sequence[str] = (),
    workspace: Sequence[str] = (),
) -> str:
    """Return the block; a section without content is left out."""
    sections = "\n\n".join(_sections(mode, todos, mcp, open_tabs, workspace))
    return f"<environment_details>\n{sections}\n</environment_details>"


def _sections(
    mode: str,
    todos: Sequence[tuple[str, str]],
    mcp: Sequence[McpServer],
    open_tabs: Sequence[str],
    workspace: Sequence[str],
) -> Iterator[str]:
    if open_tabs:
        yield "# VSCode Open Tabs\n" + "\n".join(open_tabs)
    yield f"# Current Mode\n<slug>{mode}</slug>"
    if mcp:
        yield "# MCP Servers\n" + "\n".join(f"{server.name}: {', '.join(server.tools)}" for server in mcp)
    if workspace:
        yield "# Workspace Files\n" + "\n".join(workspace)
    if todos:
        rows = (f"| {row} | {text} | {_STATUS[status]} |" for row, (status, text) in enumerate(todos, start=1))
        yield "\n".join(("# Todo List", "| # | Content | Status |", *rows))
