"""From name and raw arguments to a typed call, or the reason why there is none."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from services.protocols.roo_native.parse.mcp_names import looks_like_mcp, read_mcp_name
from services.protocols.roo_native.parse.values import (
    is_filled,
    optional_boolean,
    optional_number,
    read_json,
    text_of,
    whole_number,
    write_json,
)
from services.protocols.roo_native.tools import ALIASES, CUSTOM_TOOL, PARAMETER_NAMES, TOOLS

CallCode = Literal["unknown_tool", "bad_json", "bad_mcp_name", "not_an_object", "missing_key"]
Arguments = Mapping[str, object]

_LEGACY_RANGE = re.compile("([0-9]+)-([0-9]+)")


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
    """

    name: str
    arguments: Arguments
    params: Mapping[str, str]

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
        return _mcp_call(name, _json(arguments))
    tool = ALIASES.get(name, name)
    if tool not in TOOLS and tool != CUSTOM_TOOL:
        raise CallError("unknown_tool", name)
    given = _json(arguments)
    if not isinstance(given, dict):
        raise CallError("not_an_object")
    params = {key: text_of(value) for key, value in given.items() if key in PARAMETER_NAMES}
    return TypedCall(tool, _typed(tool, given), params)


def _json(arguments: str) -> object:
    try:
        return read_json(arguments) if arguments else {}
    except ValueError as error:
        raise CallError("bad_json", str(error)) from error


def _mcp_call(name: str, arguments: object) -> McpCall:
    found = read_mcp_name(name)
    if found is None:
        raise CallError("bad_mcp_name", name)
    return McpCall(found.server, found.tool, arguments)


def _typed(tool: str, given: Arguments) -> Arguments:
    if tool == CUSTOM_TOOL:
        raise CallError("missing_key")
    if tool == "read_file" and (files := _legacy_files(given.get("files"))):
        return {"files": files}
    spec = TOOLS[tool]
    for key in spec.needed:
        if key not in given or (key in spec.filled and not is_filled(given[key])):
            raise CallError("missing_key", key)
    converted = ((key, _converted(tool, key, given[key])) for key in spec.properties if key in given)
    return {key: value for key, value in converted if value is not _LEFT_OUT}


_LEFT_OUT = object()


def _converted(tool: str, key: str, value: object) -> object:
    convert = _CONVERSIONS.get((tool, key))
    if convert is None:
        return value
    result = convert(value)
    return _LEFT_OUT if result is None else result


def _indentation(value: object) -> object:
    if not isinstance(value, dict | list):
        return None
    given = value if isinstance(value, dict) else {}
    converted = {key: convert(given.get(key)) for key, convert in _INDENTATION.items()}
    return {key: entry for key, entry in converted.items() if entry is not None}


_INDENTATION: Mapping[str, Callable[[object], object]] = MappingProxyType(
    {
        "anchor_line": optional_number,
        "max_levels": optional_number,
        "max_lines": optional_number,
        "include_siblings": optional_boolean,
        "include_header": optional_boolean,
    }
)

_CONVERSIONS: Mapping[tuple[str, str], Callable[[object], object]] = MappingProxyType(
    {
        ("read_file", "offset"): optional_number,
        ("read_file", "limit"): optional_number,
        ("read_file", "indentation"): _indentation,
        ("list_files", "recursive"): optional_boolean,
        ("edit", "replace_all"): optional_boolean,
    }
)
"""Arguments that the client converts; what cannot be converted counts as absent."""


def _legacy_files(value: object) -> list[object]:
    """Return the files of the form that older clients had, a list or its JSON text; empty when there are none."""
    if isinstance(value, str):
        try:
            value = read_json(value)
        except ValueError:
            return []
    return [_legacy_file(entry) for entry in value] if isinstance(value, list) else []


def _legacy_file(entry: object) -> object:
    if entry is None:
        raise CallError("missing_key", "files")
    given = entry if isinstance(entry, dict) else {}
    ranges = given.get("line_ranges")
    found = [_legacy_range(value) for value in ranges] if isinstance(ranges, list) else []
    return {"path": given.get("path"), "line_ranges": [value for value in found if value is not None]}


def _legacy_range(value: object) -> list[object] | None:
    if isinstance(value, list) and len(value) > 1:
        return [whole_number(bound) for bound in value[:2]]
    if isinstance(value, dict) and "start" in value and "end" in value:
        return [whole_number(value["start"]), whole_number(value["end"])]
    if isinstance(value, str) and (found := _LEGACY_RANGE.fullmatch(value)):
        return [whole_number(found[1]), whole_number(found[2])]
    return None
