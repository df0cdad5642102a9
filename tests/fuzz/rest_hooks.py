"""What schemathesis cannot make: bodies of JSON lines, most of them almost right, and the ids of what is there."""

from __future__ import annotations

import json
import os
import random
from typing import Any

import schemathesis
from hypothesis import strategies

from tests.fuzz.values import line

_MESSAGES = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
_ROWS: list[dict[str, Any]] = [
    {"messages": _MESSAGES, "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
    {"prompt": _MESSAGES[:1], "chosen": _MESSAGES[1:], "rejected": [{"role": "assistant", "content": "b"}]},
    {"id": "x", "prompt": "What?", "answer": "That."},
    {"transcript_id": "run-1/c/0", "turn": 1, "author": "a", "rating": {"value": 3, "scale": "RATING_SCALE_STARS"}},
]


def _lines(seed: int) -> bytes:
    chance = random.Random(seed)
    return b"\n".join(line(chance, _ROWS) for _ in range(chance.choice((0, 1, 2, 3))))


# What the coverage phase puts in the place of a body is text.
schemathesis.serializer("application/jsonl")(
    lambda _context, value: value if isinstance(value, bytes) else str(value).encode()
)
schemathesis.openapi.media_type("application/jsonl", strategies.integers(0, 2**32).map(_lines))


# By the name of a parameter or field, as `tests.fuzz.rest` found them.
_IDS: dict[str, list[str]] = json.loads(os.environ.get("FUZZED_IDS", "{}"))


def _naming(context: Any, drawn: Any) -> Any:
    """Name what is there in three of four requests: others end at NOT_FOUND, whatever else they hold.

    What is deleted is gone for all that comes later, so it is named more seldom.
    """
    if not isinstance(drawn, dict):
        return drawn
    # The same draw gives the same request, or no failure could be made smaller.
    chance, share = random.Random(repr(drawn)), 0.1 if context.operation.method.lower() == "delete" else 0.75
    named = {
        name: chance.choice(_IDS[name]) if name in _IDS and chance.random() < share else value
        for name, value in drawn.items()
    }
    return {**named, "spec": _naming(context, named["spec"])} if "spec" in named else named


for _part in ("map_path_parameters", "map_query", "map_body"):
    schemathesis.hook(_part)(_naming)
