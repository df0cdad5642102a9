"""What schemathesis is told of bodies that it cannot make: JSON lines, of which most are almost right."""

from __future__ import annotations

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
