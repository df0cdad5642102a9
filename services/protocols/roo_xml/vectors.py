"""What the recorded vectors ask: from a vector's input to what its expectation is compared with."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import cast

from services.protocols.cases import McpServer
from services.protocols.javascript import num_units
from services.protocols.roo.checklist import read_checklist
from services.protocols.roo.diff.apply import apply_diff
from services.protocols.roo.modes import find_mode, refusal
from services.protocols.roo.paths import is_outside, same_path
from services.protocols.roo_xml.editions import CLASSIC, REFERENCE
from services.protocols.roo_xml.nested.values import BadNestedValue
from services.protocols.roo_xml.parse import Block, TextBlock, ToolBlock, parse
from services.protocols.roo_xml.tools import typed_arguments
from services.protocols.roo_xml.tools.command.browser_action import scrolls
from services.protocols.roo_xml.tools.tool import Call, Edition
from services.protocols.roo_xml.turn import canonical, take_calls
from services.protocols.session.memory import is_repeated_too_often
from services.protocols.turn import ClientState

Input = Mapping[str, object]

MAX_SPELLED_OUT = 20_000
"""A longer value of a block is given by length and digest."""


def _parse(edition: Edition, given: Input) -> object:
    pieces = cast(Sequence[tuple[str, int]], given.get("pieces", ()))
    text = cast(str, given["text"]) if "text" in given else "".join(piece * count for piece, count in pieces)
    return {"blocks": [_block(block) for block in parse(text, edition)]}


def _block(block: Block) -> object:
    if isinstance(block, TextBlock):
        return {"type": "text", "text": _value(block.text)}
    params = {name: _value(value) for name, value in block.params.items()}
    return {"type": "tool", "name": block.name, "params": params, "partial": block.partial}


def _value(value: str) -> object:
    length = num_units(value)
    if length <= MAX_SPELLED_OUT:
        return value
    return {"length": length, "sha256": hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()}


def _args(edition: Edition, given: Input) -> object:
    tool = cast(str, given["tool"])
    if tool not in edition.tools:
        raise ValueError(f"the client has no tool {tool!r}")
    try:
        return {"ok": True, "args": _json(typed_arguments(tool, cast(Mapping[str, str], given["params"])))}
    except BadNestedValue:
        return {"ok": False, "code": "bad_xml"}


def _json(value: object) -> object:
    """Return `value` as it reads after being written as JSON, in which numbers beyond all doubles become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _json(entry) for key, entry in value.items()}
    return [_json(entry) for entry in value] if isinstance(value, list) else value


def _diff(edition: Edition, given: Input) -> object:
    threshold = cast(float, given.get("threshold", 1.0))
    outcome = apply_diff(cast(str, given["original"]), cast(str, given["diff"]), threshold=threshold)
    ending = {"code": outcome.fault} if outcome.content is None else {"content": outcome.content}
    failed = [{"code": block.fault} for block in outcome.failed]
    return {"applied": outcome.content is not None, "failed": failed, **ending}


def _validate(edition: Edition, given: Input) -> object:
    code = refusal(
        cast(str, given["tool"]),
        find_mode(cast(str, given["mode"]), _modes(given)),
        cast(Mapping[str, str], given["params"]),
        included_tools=cast(Sequence[str], given.get("included_tools", ())),
        requirements=cast(Mapping[str, bool], given.get("requirements", {})),
        rules=edition.mode_rules,
    )
    return {"allowed": False, "code": code} if code else {"allowed": True}


def _todos(edition: Edition, given: Input) -> object:
    return {"items": [list(item) for item in read_checklist(cast(str, given["text"]))[0]]}


def _repeat(edition: Edition, given: Input) -> object:
    state = ClientState(mistake_limit=cast(int, given.get("limit", 3)))
    allowed = []
    for entry in cast(Sequence[Mapping[str, object]], given["calls"]):
        call = Call(cast(str, entry["name"]), cast(Mapping[str, str], entry["params"]), state, edition)
        allowed.append(scrolls(call) or not is_repeated_too_often(state, canonical(call)))
    return {"allowed": allowed}


def _turn(edition: Edition, given: Input) -> object:
    files = {same_path(path): text for path, text in cast(Mapping[str, str], given.get("files", {})).items()}
    state = _state(given, files)
    # Reasoning is split off by the connection, which the recorded turns do not pass.
    blocks = [block for block in parse(cast(str, given["text"]), edition) if isinstance(block, ToolBlock)]
    outcome = take_calls(state, blocks, edition)
    if not outcome.used_tool:
        return {"used_tool": False, "codes": list(outcome.codes)}
    return {
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
        **({} if state.todos is None else {"todos": [list(item) for item in state.todos]}),
    }


def _state(given: Input, files: Mapping[str, str]) -> ClientState:
    servers = cast(Sequence[Mapping[str, object]], given.get("mcp", ()))
    return ClientState(
        mode=cast(str, given.get("mode", "code")),
        files=dict(files),
        mcp=tuple(McpServer(cast(str, one["name"]), tuple(cast(Sequence[str], one["tools"]))) for one in servers),
        custom_modes=_modes(given),
        model_id=cast(str, given.get("model_id", "local-model")),
        mistakes=cast(int, given.get("mistakes", 0)),
        denied_tools=frozenset(("execute_command",)),
    )


def _modes(given: Input) -> Sequence[Mapping[str, object]]:
    return cast(Sequence[Mapping[str, object]], given.get("custom_modes", ()))


_QUESTIONS: Mapping[str, Callable[[Edition, Input], object]] = MappingProxyType(
    {
        "parse": _parse,
        "args": _args,
        "diff": _diff,
        "validate": _validate,
        "todos": _todos,
        "repeat": _repeat,
        "turn": _turn,
    }
)


def _operations(edition: Edition) -> Mapping[str, Callable[[Input], object]]:
    return MappingProxyType({name: partial(question, edition) for name, question in _QUESTIONS.items()})


OPERATIONS = _operations(REFERENCE)
"""By the stem of a vector file's name; `similarity` of a diff is informative and left out."""

CLASSIC_OPERATIONS = _operations(CLASSIC)
"""The same questions to the classic client."""
