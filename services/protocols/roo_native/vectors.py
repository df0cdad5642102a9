"""What the conformance vectors of this protocol ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from json import loads
from types import MappingProxyType
from typing import Any

from services.protocols.cases import McpServer
from services.protocols.roo.checklist import read_checklist
from services.protocols.roo.diff.apply import apply_diff
from services.protocols.roo.modes import find_mode, refusal
from services.protocols.roo.paths import is_outside, same_path
from services.protocols.roo_native.parse.calls import CallError, McpCall, parse_call
from services.protocols.roo_native.parse.values import write_json
from services.protocols.roo_native.tools import NATIVE_RULES
from services.protocols.roo_native.turn import take_turn
from services.protocols.session.memory import is_repeated_too_often
from services.protocols.turn import Answer, ClientState, ToolCall

Given = Mapping[str, Any]


def typed_call(given: Given) -> object:
    """Return the typed call that a function call stands for, or the code of why there is none."""
    try:
        call = parse_call(given["name"], given["arguments"])
    except CallError as bad:
        return {"ok": False, "code": bad.code}
    if isinstance(call, McpCall):
        return {"ok": True, "kind": "mcp", "server": call.server, "tool": call.tool, "args": _json(call.arguments)}
    return {"ok": True, "kind": "tool", "name": call.name, "args": _json(call.arguments)}


def _json(value: object) -> object:
    """Return `value` as it reads after being written as JSON, in which numbers beyond all doubles become null."""
    return loads(write_json(value))


def applied_diff(given: Given) -> object:
    """Return what a diff does to a file."""
    outcome = apply_diff(given["original"], given["diff"], threshold=given.get("threshold", 1.0))
    ending = {"code": outcome.fault} if outcome.content is None else {"content": outcome.content}
    failed = [{"code": block.fault} for block in outcome.failed]
    return {"applied": outcome.content is not None, "failed": failed, **ending}


def permission(given: Given) -> object:
    """Return whether a mode lets a tool through."""
    code = refusal(
        given["tool"],
        find_mode(given["mode"], given.get("custom_modes", ())),
        given.get("params", {}),
        included_tools=given.get("included_tools", ()),
        requirements=given.get("requirements", {}),
        rules=NATIVE_RULES,
    )
    return {"allowed": False, "code": code} if code else {"allowed": True}


def checklist(given: Given) -> object:
    """Return the items of a checklist."""
    return {"items": [list(item) for item in read_checklist(given["text"])[0]]}


def repetitions(given: Given) -> object:
    """Return which calls in a row pass the repetition check."""
    state = ClientState(mistake_limit=given.get("limit", 3))
    return {"allowed": [_passes(state, call["name"], call["arguments"]) for call in given["calls"]]}


def _passes(state: ClientState, name: str, arguments: str) -> bool:
    try:
        call = parse_call(name, arguments)
    except CallError:
        return True
    return isinstance(call, McpCall) or not is_repeated_too_often(state, call.canonical)


def turn(given: Given) -> object:
    """Return what the client makes of one answer of a user who denies every command and allows everything else."""
    files = {same_path(path): text for path, text in given.get("files", {}).items()}
    state = _state(given, files)
    calls = tuple(ToolCall(call["name"], call["arguments"]) for call in given.get("calls", ()))
    outcome = take_turn(state, Answer(given.get("text", ""), calls))
    if not outcome.used_tool:
        return {"used_tool": False, "codes": ["no_tool"]}
    found: dict[str, object] = {
        "used_tool": True,
        "calls": [{"tool": call.tool, "verdict": call.verdict, "codes": list(call.codes)} for call in outcome.calls],
        "mistakes": state.mistakes,
        "turn_failed": outcome.turn_failed,
        "attempts": outcome.attempts,
        "failures": outcome.failures,
        "mode_after": state.mode,
        "files_changed": {
            path: text for path, text in state.files.items() if files.get(path) != text and not is_outside(path)
        },
    }
    return found if state.todos is None else {**found, "todos": [list(item) for item in state.todos]}


def _state(given: Given, files: Mapping[str, str]) -> ClientState:
    servers: Sequence[Given] = given.get("mcp", ())
    return ClientState(
        mode=given.get("mode", "code"),
        files=dict(files),
        mcp=tuple(McpServer(server["name"], tuple(server["tools"])) for server in servers),
        custom_modes=tuple(given.get("custom_modes", ())),
        model_id=given.get("model_id", "local-model"),
        mistakes=given.get("mistakes", 0),
        denied_tools=frozenset(("execute_command",)),
        included_tools=frozenset(given.get("included_tools", ())),
    )


OPERATIONS: Mapping[str, Callable[[Mapping[str, object]], object]] = MappingProxyType(
    {
        "native": typed_call,
        "diff": applied_diff,
        "validate": permission,
        "todos": checklist,
        "repeat": repetitions,
        "turn": turn,
    }
)
"""From the input of a vector to what its `expected` must equal, by the stem of the file's name."""
