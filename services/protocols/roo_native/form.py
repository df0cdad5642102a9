"""The form of one call: readable, known, offered, complete, with values that its definition allows."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from services.protocols.cases import Case
from services.protocols.javascript.text import trim
from services.protocols.judging.call_checks import CheckedCall
from services.protocols.judging.layers import Flaw
from services.protocols.roo.modes import Mode, refusal
from services.protocols.roo.prompt_text import mode_of
from services.protocols.roo_native.definitions import offered_tools, schema_of
from services.protocols.roo_native.parse.calls import CallCode, CallError, McpCall, TypedCall, parse_call
from services.protocols.roo_native.parse.mcp_names import name_alike
from services.protocols.roo_native.tools import NATIVE_RULES, TOOLS
from services.protocols.roo_native.tools.mcp import USE_MCP_TOOL, server_of
from services.protocols.roo_native.tools.tool import Arguments, Problem
from services.protocols.session.written_calls import OPEN
from services.protocols.turn import ClientState, ToolCall
from services.protocols.verdict import Fault, LayerName

FORM = (
    LayerName.PARSES,
    LayerName.KNOWN_TOOL,
    LayerName.OFFERED,
    LayerName.REQUIRED_PARAMETERS,
    LayerName.VALID_VALUES,
)
"""The layers of form in their order."""

_Finding = tuple[LayerName, Flaw] | tuple[None, None]
_RIGHT: _Finding = (None, None)

_NO_CALL: dict[CallCode, tuple[LayerName, Fault, str]] = {
    "bad_json": (LayerName.PARSES, Fault.BAD_JSON, "The arguments of {name} are no JSON: {place}."),
    "not_an_object": (LayerName.PARSES, Fault.NOT_AN_OBJECT, "The arguments of {name} are no JSON object."),
    "unknown_tool": (LayerName.KNOWN_TOOL, Fault.UNKNOWN_TOOL, "There is no function {name!r}."),
    "bad_mcp_name": (
        LayerName.KNOWN_TOOL,
        Fault.BAD_MCP_NAME,
        "{name!r} lacks the server or the tool: it must be mcp--server--tool.",
    ),
    "missing_key": (LayerName.REQUIRED_PARAMETERS, Fault.MISSING_PARAM, "{name} lacks its argument {place}."),
}
_MAX_NAME = 64
_MAX_SHOWN = 160
_MAY_BE_BLANK = frozenset(("content", "new_string", "old_string"))


@dataclass(frozen=True, slots=True)
class Offer:
    """What the model was offered: the mode, and the client's own functions in it."""

    mode: Mode
    names: frozenset[str]


def check_calls(case: Case, calls: Sequence[ToolCall], state: ClientState) -> list[CheckedCall]:
    """Return each call with its typed arguments and the first thing in its form that is wrong."""
    mode = mode_of(case)
    offer = Offer(mode, frozenset(offered_tools(mode, case.included_tools, case.excluded_tools)))
    return [_checked(call, offer, state) for call in calls]


def _checked(call: ToolCall, offer: Offer, state: ClientState) -> CheckedCall:
    try:
        typed = parse_call(call.name, call.arguments)
    except CallError as bad:
        finding = _without_typed_call(call, bad)
        if bad.code == "missing_key" and (refused := _not_offered(call.name, offer)):
            finding = LayerName.OFFERED, refused
        return CheckedCall(NATIVE_RULES.aliases.get(call.name, call.name), {}, call.span, *finding)
    if isinstance(typed, McpCall):
        return _checked_server_call(call, typed, offer, state)
    return CheckedCall(typed.name, typed.arguments, call.span, *_finding(call.name, typed, offer, state))


def _without_typed_call(call: ToolCall, bad: CallError) -> tuple[LayerName, Flaw]:
    name = call.name[:_MAX_NAME]
    if bad.code == "bad_json" and call.arguments.startswith(OPEN):
        sentence = f"{name} is called in a form that is not read: one JSON object with name and arguments."
        return LayerName.PARSES, Flaw(Fault.FOREIGN_FORM, sentence)
    layer, fault, sentence = _NO_CALL[bad.code]
    return layer, Flaw(fault, sentence.format(name=name or "the call", place=bad.place[:_MAX_NAME]))


def _not_offered(name: str, offer: Offer) -> Flaw | None:
    if name in offer.names:
        return None
    sentence = f"The mode {offer.mode.slug} does not offer {name}."
    if NATIVE_RULES.aliases.get(name) in offer.names:
        sentence = f"{name} is not offered under this name."
    return Flaw(Fault.NOT_ALLOWED_IN_MODE, sentence)


def _finding(name: str, call: TypedCall, offer: Offer, state: ClientState) -> _Finding:
    if refused := _not_offered(name, offer):
        return LayerName.OFFERED, refused
    schema = schema_of(name)
    if foreign := next((key for key in call.raw if key not in schema.properties), None):
        sentence = f"{foreign[:_MAX_NAME]!r} is no argument of {name}."
        return LayerName.PARSES, Flaw(Fault.FOREIGN_PARAMETER, sentence)
    included, rules = state.included_tools, NATIVE_RULES
    if refusal(call.name, offer.mode, call.params, included_tools=included, rules=rules) == "file_pattern":
        paths = ", ".join(filter(None, rules.edited_paths(call.name, call.params)))
        return LayerName.OFFERED, Flaw(Fault.FILE_PATTERN, f"The mode {offer.mode.slug} may not edit {paths}.")
    blank = {key for key, value in call.raw.items() if isinstance(value, str) and not trim(value)} - _MAY_BE_BLANK
    if missing := next((key for key in schema.required if key not in call.raw or key in blank), None):
        return LayerName.REQUIRED_PARAMETERS, Flaw(Fault.MISSING_PARAM, f"{name} lacks a value for {missing}.")
    if problem := value_problem(name, call.raw, state):
        return LayerName.VALID_VALUES, Flaw(problem[0], f"In {name}, {problem[1]}")
    return _RIGHT


def value_problem(tool: str, arguments: Arguments, state: ClientState) -> Problem | None:
    """Return what is wrong with the first value that is not what definition and prompt demand, or None.

    An optional argument that is null counts as left out, as it does for the client.
    """
    required = schema_of(tool).required
    kept = {name: value for name, value in arguments.items() if value is not None or name in required}
    error = min(_validator(tool).iter_errors(kept), key=_place, default=None)
    if error is not None:
        return Fault.BAD_VALUE, f"{_place(error)}: {error.message[:_MAX_SHOWN]}."
    check = TOOLS[tool].problem
    return check(kept, state) if check else None


@cache
def _validator(tool: str) -> Draft202012Validator:
    return Draft202012Validator(schema_of(tool).document)


def _place(error: ValidationError) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path).lstrip(".")


def _checked_server_call(call: ToolCall, typed: McpCall, offer: Offer, state: ClientState) -> CheckedCall:
    server = server_of(state, typed.server)
    tools = next((connected.tools for connected in state.mcp if connected.name == server), None)
    tool = name_alike(typed.tool, tools or ())
    finding = _RIGHT
    if "mcp" not in offer.mode.groups:
        sentence = f"The mode {offer.mode.slug} offers no functions of servers."
        finding = LayerName.OFFERED, Flaw(Fault.NOT_ALLOWED_IN_MODE, sentence)
    elif tools is None:
        sentence = f"No server {typed.server[:_MAX_NAME]!r} is connected."
        finding = LayerName.VALID_VALUES, Flaw(Fault.MCP_UNKNOWN_SERVER, sentence)
    elif tool is None:
        sentence = f"{server} has no tool {typed.tool[:_MAX_NAME]!r}."
        finding = LayerName.VALID_VALUES, Flaw(Fault.MCP_UNKNOWN_TOOL, sentence)
    elif not isinstance(typed.arguments, dict):
        sentence = f"The arguments of {call.name} are no JSON object."
        finding = LayerName.PARSES, Flaw(Fault.NOT_AN_OBJECT, sentence)
    arguments = {"server_name": server, "tool_name": tool or typed.tool, "arguments": typed.arguments}
    return CheckedCall(USE_MCP_TOOL.name, arguments, call.span, *finding)
