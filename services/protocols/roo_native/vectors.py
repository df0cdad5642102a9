"""What the conformance vectors of this protocol ask."""

from collections.abc import Callable, Mapping
from functools import partial
from json import loads
from types import MappingProxyType

from services.protocols.roo.vectors import Input, applied_diff, checklist, permission, turn_result
from services.protocols.roo_native.parse.calls import CallError, McpCall, parse_call
from services.protocols.roo_native.parse.values import write_json
from services.protocols.roo_native.tools import NATIVE_RULES
from services.protocols.roo_native.turn import take_turn
from services.protocols.session.memory import is_repeated_too_often
from services.protocols.turn import Answer, ClientState, ToolCall


def typed_call(vector: Input) -> object:
    """Return the typed call that a function call stands for, or the code of why there is none."""
    try:
        call = parse_call(vector["name"], vector["arguments"])
    except CallError as bad:
        return {"ok": False, "code": bad.code}
    # As JSON numbers beyond all doubles become null.
    arguments = loads(write_json(call.arguments))
    if isinstance(call, McpCall):
        return {"ok": True, "kind": "mcp", "server": call.server, "tool": call.tool, "args": arguments}
    return {"ok": True, "kind": "tool", "name": call.name, "args": arguments}


def repetitions(vector: Input) -> object:
    """Return which calls in a row pass the repetition check."""
    state = ClientState(mistake_limit=vector.get("limit", 3))
    return {"allowed": [_passes(state, call["name"], call["arguments"]) for call in vector["calls"]]}


def _passes(state: ClientState, name: str, arguments: str) -> bool:
    try:
        call = parse_call(name, arguments)
    except CallError:
        return True
    return isinstance(call, McpCall) or not is_repeated_too_often(state, call.canonical)


def turn(vector: Input) -> object:
    """Return what the client makes of one answer; one that is empty is an answer without a tool to the vectors."""
    calls = tuple(ToolCall(call["name"], call["arguments"]) for call in vector.get("calls", ()))
    return turn_result(vector, lambda state: take_turn(state, Answer(vector.get("text", "") or " ", calls)))


OPERATIONS: Mapping[str, Callable[[Mapping[str, object]], object]] = MappingProxyType(
    {
        "native": typed_call,
        "diff": applied_diff,
        "validate": partial(permission, rules=NATIVE_RULES),
        "todos": checklist,
        "repeat": repetitions,
        "turn": turn,
    }
)
"""From the input of a vector to what its `expected` must equal, by the stem of the file's name."""
