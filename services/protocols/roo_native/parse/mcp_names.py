"""Names of servers' tools as functions: `mcp--server--tool`."""

from __future__ import annotations

import re
from typing import NamedTuple

from services.protocols.javascript import SPACE_CLASS as S

MAX_NAME = 64

_PREFIXES = ("mcp--", "mcp__")
_SEPARATOR = re.compile("__|--")
_UNSAFE = re.compile("[^a-zA-Z0-9_-]")


class McpName(NamedTuple):
    """A server and one of its tools, as a function's name gives them."""

    server: str
    tool: str


def looks_like_mcp(name: str) -> bool:
    """Return whether `name` begins as a server's tool does."""
    return name.startswith(_PREFIXES)


def read_mcp_name(name: str) -> McpName | None:
    """Return what a name that looks like a server's tool stands for, or None when it lacks server or tool."""
    _, *parts = _SEPARATOR.split(name)
    found = McpName(parts[0], "--".join(parts[1:]))
    return found if len(parts) > 1 and all(found) else None


def write_mcp_name(server: str, tool: str) -> str:
    """Return the function's name for a server's tool: letters, digits, `_` and `-`, 64 characters at most."""
    return f"mcp--{sanitised(server)}--{sanitised(tool)}"[:MAX_NAME]


def sanitised(name: str) -> str:
    """Return `name` with nothing in it that a function's name may not hold."""
    if not name:
        return "_"
    safe = re.sub("--+", "-", _UNSAFE.sub("", re.sub(f"{S}+", "_", name)))
    return safe if re.match("[a-zA-Z_]", safe) else f"_{safe or 'unnamed'}"


def is_same_tool(one: str, other: str) -> bool:
    """Return whether two names of tools are the same but for `-` and `_`."""
    return one.replace("-", "_") == other.replace("-", "_")
