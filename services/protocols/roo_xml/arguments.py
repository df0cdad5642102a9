"""From parameter strings to typed arguments, by the client's own rules."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from services.protocols.javascript import SPACES, parse_json
from services.protocols.roo_xml.nested import lenient_xml
from services.protocols.roo_xml.nested.lenient_xml import Unreadable, Value
from services.protocols.roo_xml.tools import CLASSIC_TOOLS, TOOLS

Arguments = dict[str, object]
Number = int | float
"""A double, given as int as long as it stands for that number alone."""

_RANGE = re.compile("([0-9]+)-([0-9]+)")
_LEADING_INT = re.compile(rf"[{SPACES}]*([+-]?[0-9]+)")
_MAX_EXACT = 2**53


class BadNestedValue(ValueError):
    """A nested value cannot be read at all.

    Attributes:
        parameter: the parameter that holds it.
    """

    def __init__(self, parameter: str, reason: str) -> None:
        super().__init__(f"{parameter}: {reason}")
        self.parameter = parameter


def typed_arguments(tool: str, params: Mapping[str, str]) -> Arguments:
    """Return the typed arguments of a call; absent optional values are left out, absent required ones are empty text.

    `read_file` gives `files`: a list of `path` and `line_ranges`; `ask_followup_question` gives `follow_up`: a list of
    `text` and `mode`. Nothing is checked for presence.

    Raises:
        BadNestedValue: `args` or `follow_up` is not readable.
    """
    if tool == "read_file":
        return {"files": _files(params)}
    if tool == "ask_followup_question":
        return {"question": params.get("question", ""), "follow_up": _suggestions(params.get("follow_up", ""))}
    if tool == "list_files":
        return {"path": params.get("path", ""), "recursive": params.get("recursive", "").lower() == "true"}
    spec = TOOLS.get(tool) or CLASSIC_TOOLS[tool]
    result: Arguments = {name: params.get(name, "") for name in (*spec.required, *spec.demanded)}
    result.update({name: params[name] for name in (*spec.optional, *spec.ignored) if name in params})
    for name, read in _TYPED.items():
        if name in result:
            result[name] = read(str(result[name]))
    return {name: value for name, value in result.items() if value is not None}


def _text_or_none(text: str) -> str | None:
    return text or None


def _count(text: str) -> Number | None:
    return leading_number(text) if text else None


def leading_number(text: str) -> Number:
    """Return the whole number that `text` begins with, as `parseInt(text, 10)` reads it; NaN without one."""
    found = _LEADING_INT.match(text)
    return _number(found[1]) if found else math.nan


def _operations(text: str) -> object:
    try:
        return parse_json(text)
    except ValueError:
        return []


_TYPED: Mapping[str, Callable[[str], object]] = MappingProxyType(
    {"file_pattern": _text_or_none, "expected_replacements": _count, "operations": _operations}
)
"""Parameters that are more than their text, or nothing when empty, in every tool that has them."""


def _read(parameter: str, text: str, raw_elements: tuple[str, ...] = ()) -> Mapping[str, Value]:
    try:
        return lenient_xml.read(text, raw_elements)
    except Unreadable as error:
        raise BadNestedValue(parameter, str(error)) from error


def _listed(value: Value) -> list[Value]:
    return value if isinstance(value, list) else [value]


def _files(params: Mapping[str, str]) -> list[dict[str, object]]:
    if params.get("args"):
        elements = _listed(_read("args", params["args"]).get("file", []))
        return [_file(element) for element in elements if isinstance(element, dict) and element.get("path")]
    if params.get("path"):
        return [{"path": params["path"], "line_ranges": _legacy_range(params)}]
    return []


def _file(element: dict[str, Value]) -> dict[str, object]:
    ranges = []
    for value in _listed(element.get("line_range", [])):
        if isinstance(value, str) and (found := _RANGE.search(value)):
            ranges.append([_number(found[1]), _number(found[2])])
    return {"path": element["path"], "line_ranges": ranges}


def _number(digits: str) -> Number:
    value = float(digits)
    return int(value) if abs(value) <= _MAX_EXACT else value


def _legacy_range(params: Mapping[str, str]) -> list[list[Number]]:
    bounds = [leading_number(params.get(name, "")) for name in ("start_line", "end_line")]
    return [bounds] if all(bound > 0 for bound in bounds) else []


def _suggestions(text: str) -> list[dict[str, str]]:
    found = _listed(_read("follow_up", text, ("suggest",)).get("suggest", [])) if text else []
    return [_suggestion(value) for value in found]


def _suggestion(value: Value) -> dict[str, str]:
    if not isinstance(value, dict):
        return {"text": str(value)}
    entries = (("text", value.get("#text")), ("mode", value.get("@_mode")))
    return {key: entry for key, entry in entries if isinstance(entry, str) and (entry or key == "text")}
