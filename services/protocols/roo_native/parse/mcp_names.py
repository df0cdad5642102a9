"""Names of servers' tools as functions: `mcp--server--tool`."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from services.protocols.javascript.text import SPACE_CLASS as S

MAX_NAME = 64

_PREFIXES = ("mcp--", "mcp__")
_BETWEEN = "--"
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
    # The client joins the parts and splits them anew, so a dash before the seam goes over to the tool.
    server, _, tool = _BETWEEN.join(parts).partition(_BETWEEN)
    return McpName(server, tool) if server and tool else None


def write_mcp_name(server: str, tool: str) -> str:
    """Return the function's name for a server's tool: letters, digits, `_` and `-`, 64 characters at most."""
    return _BETWEEN.join(("mcp", sanitised(server), sanitised(tool)))[:MAX_NAME]


def sanitised(name: str) -> str:
    """Return `name` with nothing in it that a function's name may not hold."""
    if not name:
        return "_"
    safe = re.sub("--+", "-", _UNSAFE.sub("", re.sub(f"{S}+", "_", name)))
    return safe if re.match("[a-zA-Z_]", safe) else f"_{safe or 'unnamed'}"


def name_alike(name: str, names: Sequence[str]) -> str | None:
    """Return `name` if it is among `names`, else the first of them that is the same but for `-` and `_`, or None."""
    if name in names:
        return name
    plain = name.replace("-", "_")
    return next((other for other in names if other.replace("-", "_") == plain), None)
