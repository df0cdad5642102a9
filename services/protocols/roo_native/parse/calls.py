"""From name and raw arguments to a typed call, or the reason why there is none."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from services.protocols.roo_native.parse.mcp_names import looks_like_mcp, read_mcp_name
from services.protocols.roo_native.parse.values import is_filled, read_json, text_of, write_json
from services.protocols.roo_native.tools import ALIASES, CUSTOM_TOOL, PARAMETER_NAMES, TOOLS
from services.protocols.roo_native.tools.read_file import READ_FILE, legacy_files
from services.protocols.roo_native.tools.tool import Arguments

CallCode = Literal["unknown_tool", "bad_json", "bad_mcp_name", "not_an_object", "missing_key"]


class CallError(ValueError):
    """A call that the client cannot make a typed one of.

    Attributes:
        code: the reason.
        place: what is wrong: the missing key, or the place in the JSON text; empty where nothing can be named.
    """

    def __init__(self, code: CallCode, place: str = "") -> None:
        super().__init__(f"{code}: {place}" if place else code)
        self.code = code
        self.place = place


@dataclass(frozen=True, slots=True)
class TypedCall:
    """A call of one of the client's own functions.

    Attributes:
        name: the tool's own name, aliases resolved.
        arguments: its typed arguments; absent optional ones are left out.
        params: the call's known keys as text, whichever tool they belong to; the mode check reads these.
        raw: its arguments as they are written.
    """

    name: str
    arguments: Arguments
    params: Mapping[str, str]
    raw: Arguments = field(default_factory=dict)

    @property
    def canonical(self) -> str:
        """Equal for calls that the client takes for repetitions of each other."""
        return write_json({"name": self.name, "params": self.params, "nativeArgs": self.arguments}, sort_keys=True)


@dataclass(frozen=True, slots=True)
class McpCall:
    """A call of a server's tool; `arguments` is whatever JSON the model wrote."""

    server: str
    tool: str
    arguments: object


def parse_call(name: str, arguments: str) -> TypedCall | McpCall:
    """Return the typed call that a function call stands for.

    Args:
        name: the function's name as written.
        arguments: raw text, JSON; empty text stands for no arguments.

    Raises:
        CallError: there is none; its code is the first that applies, in the order of `CallCode`.
    """
    if looks_like_mcp(name):
        value, parts = _json(arguments), read_mcp_name(name)
        if parts is None:
            raise CallError("bad_mcp_name", name)
        return McpCall(parts.server, parts.tool, value)
    tool = ALIASES.get(name, name)
    if tool not in TOOLS and tool != CUSTOM_TOOL:
        raise CallError("unknown_tool", name)
    raw = _json(arguments)
    if not isinstance(raw, dict):
        raise CallError("not_an_object")
    if tool == CUSTOM_TOOL:
        raise CallError("missing_key")
    params = {key: text_of(value) for key, value in raw.items() if key in PARAMETER_NAMES}
    files = _legacy_files(raw) if tool == READ_FILE.name else []
    return TypedCall(tool, {"files": files} if files else _typed(tool, raw), params, raw)


def _json(arguments: str) -> object:
    try:
        return read_json(arguments) if arguments else {}
    except ValueError as error:
        raise CallError("bad_json", str(error)) from error


def _legacy_files(raw: Arguments) -> list[object]:
    try:
        return legacy_files(raw.get("files"))
    except ValueError as error:
        raise CallError("missing_key", "files") from error


def _typed(tool: str, raw: Arguments) -> Arguments:
    typed = {}
    for key, argument in TOOLS[tool].arguments.items():
        value = raw.get(key)
        if argument.need and (key not in raw or (argument.need == "filled" and not is_filled(value))):
            raise CallError("missing_key", key)
        if argument.convert is None:
            if key in raw:
                typed[key] = value
        elif (converted := argument.convert(value)) is not None:
            typed[key] = converted
    return typed
