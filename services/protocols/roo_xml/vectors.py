"""What the recorded vectors ask: from a vector's input to what its expectation is compared with."""

import hashlib
import math
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from services.protocols.javascript.text import num_units
from services.protocols.roo.vectors import Input, applied_diff, checklist, permission, turn_result
from services.protocols.roo_xml.editions import CLASSIC, REFERENCE
from services.protocols.roo_xml.nested.values import BadNestedValue
from services.protocols.roo_xml.parse import Block, TextBlock, ToolBlock, parse
from services.protocols.roo_xml.tools import typed_arguments
from services.protocols.roo_xml.tools.command import scrolls
from services.protocols.roo_xml.tools.tool import Call, Edition
from services.protocols.roo_xml.turn import canonical, take_calls
from services.protocols.session.memory import is_repeated_too_often
from services.protocols.turn import ClientState

MAX_SPELLED_OUT = 20_000
"""A longer value of a block is given by length and digest."""


def _parse(edition: Edition, vector: Input) -> object:
    pieces = vector.get("pieces", ())
    text = vector["text"] if "text" in vector else "".join(piece * count for piece, count in pieces)
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


def _args(edition: Edition, vector: Input) -> object:
    tool = vector["tool"]
    if tool not in edition.tools:
        raise ValueError(f"the client has no tool {tool!r}")
    try:
        return {"ok": True, "args": _json(typed_arguments(tool, vector["params"]))}
    except BadNestedValue:
        return {"ok": False, "code": "bad_xml"}


def _json(value: object) -> object:
    """Return `value` as it reads after being written as JSON, in which numbers beyond all doubles become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _json(entry) for key, entry in value.items()}
    return [_json(entry) for entry in value] if isinstance(value, list) else value


def _repeat(edition: Edition, vector: Input) -> object:
    state = ClientState(mistake_limit=vector.get("limit", 3))
    allowed = []
    for entry in vector["calls"]:
        call = Call(entry["name"], entry["params"], state, edition)
        allowed.append(scrolls(call) or not is_repeated_too_often(state, canonical(call)))
    return {"allowed": allowed}


def _turn(edition: Edition, vector: Input) -> object:
    # Reasoning is split off by the connection, which the recorded turns do not pass.
    blocks = [block for block in parse(vector["text"], edition) if isinstance(block, ToolBlock)]
    return turn_result(vector, lambda state: take_calls(state, blocks, edition))


def _operations(edition: Edition) -> Mapping[str, Callable[[Mapping[str, object]], object]]:
    own = {"parse": _parse, "args": _args, "repeat": _repeat, "turn": _turn}
    return MappingProxyType(
        {
            **{name: partial(operation, edition) for name, operation in own.items()},
            "diff": applied_diff,
            "validate": partial(permission, rules=edition.mode_rules),
            "todos": checklist,
        }
    )


OPERATIONS = _operations(REFERENCE)
"""By the stem of a vector file's name; `similarity` of a diff is informative and left out."""

CLASSIC_OPERATIONS = _operations(CLASSIC)
"""The same questions to the classic client."""
