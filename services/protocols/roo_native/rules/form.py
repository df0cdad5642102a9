"""The form of one call: readable, known, offered, complete, with values that its definition allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from services.protocols.cases import Case
from services.protocols.javascript import trim
from services.protocols.roo.modes import Mode, refusal
from services.protocols.roo.prompt_text import mode_of
from services.protocols.roo_native.definitions import offered_tools, schema_of
from services.protocols.roo_native.parse.calls import CallError, McpCall, TypedCall, parse_call
from services.protocols.roo_native.parse.mcp_names import found_alike
from services.protocols.roo_native.parse.values import read_json
from services.protocols.roo_native.tools import NATIVE_RULES, TOOLS
from services.protocols.roo_native.tools.mcp.use_mcp_tool import USE_MCP_TOOL, server_of
from services.protocols.roo_native.tools.tool import Arguments, Problem
from services.protocols.session.written_calls import OPEN
from services.protocols.turn import ClientState, ToolCall
from services.protocols.verdict import Fault, LayerName

Finding = tuple[LayerName, Fault, str]
"""The layer on which a call fails first, what is wrong, and one sentence on it."""

_CODES: Mapping[str, tuple[LayerName, Fault]] = MappingProxyType(
    {
        "bad_json": (LayerName.PARSES, Fault.BAD_JSON),
        "not_an_object": (LayerName.PARSES, Fault.NOT_AN_OBJECT),
        "unknown_tool": (LayerName.KNOWN_TOOL, Fault.UNKNOWN_TOOL),
        "bad_mcp_name": (LayerName.KNOWN_TOOL, Fault.BAD_MCP_NAME),
        "missing_key": (LayerName.REQUIRED_PARAMETERS, Fault.MISSING_KEY),
    }
)
_SENTENCES: Mapping[str, str] = MappingProxyType(
    {
        "bad_json": "The arguments of {name} are no JSON: {place}.",
        "not_an_object": "The arguments of {name} are no JSON object.",
        "unknown_tool": "There is no function {name!r}.",
        "bad_mcp_name": "{name!r} lacks the server or the tool: it must be mcp--server--tool.",
        "missing_key": "{name} lacks its argument {place}.",
    }
)
_READ_FORM = "one JSON object with name and arguments"
_MAX_NAME = 64
_MAX_SHOWN = 160
_MAY_BE_BLANK = frozenset(("content", "new_string", "old_string"))


@dataclass(frozen=True, slots=True)
class Offer:
    """What the model was offered: the mode, and the client's own functions in it."""

    mode: Mode
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Seen:
    """A call as the judge sees it.

    Attributes:
        tool: the tool's own name; `use_mcp_tool` for a server's function.
        arguments: its typed arguments; none where there is no typed call.
        finding: the first thing in its form that is wrong.
    """

    written: ToolCall
    tool: str
    arguments: Mapping[str, object]
    finding: Finding | None


def offer_of(case: Case) -> Offer:
    """Return what the model is offered in `case`."""
    mode = mode_of(case)
    return Offer(mode, frozenset(offered_tools(mode, case.included_tools, case.excluded_tools)))


def seen(call: ToolCall, offer: Offer, state: ClientState) -> Seen:
    """Return the call with its typed arguments and the first thing in its form that is wrong."""
    name = call.name[:_MAX_NAME]
    try:
        typed = parse_call(call.name, call.arguments)
    except CallError as bad:
        layer, fault = _CODES[bad.code]
        sentence = _SENTENCES[bad.code].format(name=name or "the call", place=bad.place[:_MAX_NAME])
        if bad.code == "bad_json" and call.arguments.startswith(OPEN):
            fault, sentence = Fault.FOREIGN_FORM, f"{name} is called in a form that is not read: {_READ_FORM}."
        missing = (layer, fault, sentence)
        finding = _not_offered(call.name, offer) or missing if bad.code == "missing_key" else missing
        return Seen(call, NATIVE_RULES.aliases.get(call.name, call.name), {}, finding)
    if isinstance(typed, McpCall):
        return _server_call(call, typed, offer, state)
    return Seen(call, typed.name, typed.arguments, _finding(call, typed, offer, state))


def _not_offered(name: str, offer: Offer) -> Finding | None:
    if name in offer.names:
        return None
    sentence = f"The mode {offer.mode.slug} does not offer {name}."
    if NATIVE_RULES.aliases.get(name) in offer.names:
        sentence = f"{name} is not offered under this name."
    return LayerName.OFFERED, Fault.NOT_ALLOWED_IN_MODE, sentence


def _finding(call: ToolCall, typed: TypedCall, offer: Offer, state: ClientState) -> Finding | None:
    name, given = call.name, read_json(call.arguments or "{}")
    assert isinstance(given, dict)
    if refused := _not_offered(name, offer):
        return refused
    if foreign := foreign_argument(name, given):
        return LayerName.PARSES, Fault.FOREIGN_PARAMETER, f"{foreign[:_MAX_NAME]!r} is no argument of {name}."
    if _mode_forbids_path(typed, offer, state):
        paths = ", ".join(filter(None, NATIVE_RULES.edited_paths(typed.name, typed.params)))
        return LayerName.OFFERED, Fault.FILE_PATTERN, f"The mode {offer.mode.slug} may not edit {paths}."
    if missing := missing_argument(name, given):
        return LayerName.REQUIRED_PARAMETERS, Fault.MISSING_PARAM, f"{name} lacks a value for {missing}."
    problem = value_problem(name, given, state)
    return (LayerName.VALID_VALUES, problem[0], f"In {name}, {problem[1]}") if problem else None


def _mode_forbids_path(call: TypedCall, offer: Offer, state: ClientState) -> bool:
    rules, included = NATIVE_RULES, state.included_tools
    return refusal(call.name, offer.mode, call.params, included_tools=included, rules=rules) == "file_pattern"


def _server_call(call: ToolCall, typed: McpCall, offer: Offer, state: ClientState) -> Seen:
    server = server_of(state, typed.server)
    tools = next((one.tools for one in state.mcp if one.name == server), None)
    tool = found_alike(typed.tool, tools or ())
    arguments = {"server_name": server, "tool_name": tool or typed.tool, "arguments": typed.arguments}
    finding: Finding | None = None
    if "mcp" not in offer.mode.groups:
        sentence = f"The mode {offer.mode.slug} offers no functions of servers."
        finding = LayerName.OFFERED, Fault.NOT_ALLOWED_IN_MODE, sentence
    elif tools is None:
        sentence = f"No server {typed.server[:_MAX_NAME]!r} is connected."
        finding = LayerName.VALID_VALUES, Fault.MCP_UNKNOWN_SERVER, sentence
    elif tool is None:
        finding = LayerName.VALID_VALUES, Fault.MCP_UNKNOWN_TOOL, f"{server} has no tool {typed.tool[:_MAX_NAME]!r}."
    elif not isinstance(typed.arguments, dict):
        finding = LayerName.PARSES, Fault.NOT_AN_OBJECT, f"The arguments of {call.name} are no JSON object."
    return Seen(call, USE_MCP_TOOL.name, arguments, finding)


def foreign_argument(tool: str, given: Arguments) -> str | None:
    """Return the first argument that the function does not have, or None."""
    properties = schema_of(tool)["properties"]
    assert isinstance(properties, Mapping)
    return next((name for name in given if name not in properties), None)


def missing_argument(tool: str, given: Arguments) -> str | None:
    """Return the first required argument that is absent, or blank where it may not be, or None."""
    required = schema_of(tool)["required"]
    assert isinstance(required, list)
    return next((name for name in required if name not in given or _is_blank(name, given[name])), None)


def _is_blank(name: str, value: object) -> bool:
    return isinstance(value, str) and not trim(value) and name not in _MAY_BE_BLANK


def value_problem(tool: str, given: Arguments, state: ClientState) -> Problem | None:
    """Return what is wrong with the first value that is not what definition and prompt demand, or None.

    An optional argument that is null counts as left out, as it does for the client.
    """
    required = schema_of(tool)["required"]
    assert isinstance(required, list)
    kept = {name: value for name, value in given.items() if value is not None or name in required}
    error = min(_validator(tool).iter_errors(kept), key=_place, default=None)
    if error is not None:
        return Fault.BAD_VALUE, f"{_place(error)}: {error.message[:_MAX_SHOWN]}."
    check = TOOLS[tool].problem
    return check(kept, state) if check else None


@cache
def _validator(tool: str) -> Draft202012Validator:
    return Draft202012Validator(dict(schema_of(tool)))


def _place(error: ValidationError) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path).lstrip(".")
