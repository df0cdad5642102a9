"""Hostile values, drawn by a seed: texts, numbers, JSON documents, and bytes that were almost right."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

TEXTS = (
    *("", " ", "a", "0", "\0", "\n", "\u202e", "\ufeff", "é", "e\u0301", "\U0001f600", "\ud7ff", "%2e%2e", "..", "//"),
    *("../../etc/passwd", "a@1", "a@", "@1", "a@99999999999999999999", "a@-1", "A" * 300, "x" * 5000, "\x1b[31m"),
    *("http://127.0.0.1:9/v1", "http://[::1", "file:///etc/passwd", "javascript:0", "sha256:" + "0" * 64, "sha256:zz"),
    *("{{ 1 / 0 }}", "<read_file>", "';--", "$(id)", "(a+)+$", "[", "\\", "null", "NaN", "{}", "[]", "true"),
)
INTEGERS = (0, 1, -1, 2, 7, 50, 1000, 1001, 2**31 - 1, -(2**31), 2**31, 2**53, 2**63 - 1, -(2**63), 2**63, 2**64 - 1)
DOUBLES = (0.0, -0.0, 1.0, 0.5, -1.0, 1e-308, 1e308, float("inf"), float("-inf"), float("nan"), 1e9)
_MOST_DEPTH = 4


def text(chance: random.Random, known: Sequence[str] = ()) -> str:
    """Return a text: one that is known to mean something, a hostile one, or a mix of two."""
    words = [chance.choice(known if known and chance.random() < 0.6 else TEXTS) for _ in range(2)]
    return words[0] if chance.random() < 0.8 else words[0] + words[1]


def document(chance: random.Random, depth: int = 0) -> Any:
    """Return any JSON value."""
    kind = chance.randrange(6 if depth >= _MOST_DEPTH else 8)
    if kind < 6:
        scalars = (None, chance.random() < 0.5, chance.choice(INTEGERS), chance.choice(DOUBLES), text(chance))
        return scalars[min(kind, 4)]
    if kind == 6:
        return [document(chance, depth + 1) for _ in range(chance.randrange(4))]
    return {text(chance): document(chance, depth + 1) for _ in range(chance.randrange(4))}


def changed(chance: random.Random, value: Any, depth: int = 0) -> Any:
    """Return a JSON value with about one of its parts replaced, left out or doubled."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        name = chance.choice(list(value))
        if chance.random() < 0.15:
            return {key: item for key, item in value.items() if key != name}
        return {**value, name: changed(chance, value[name], depth + 1)}
    if isinstance(value, list) and value and chance.random() < 0.9:
        place = chance.randrange(len(value))
        if chance.random() < 0.15:
            return value[:place] + value[place:][:1] + value[place:]
        return [*value[:place], changed(chance, value[place], depth + 1), *value[place + 1 :]]
    return document(chance, depth)


def line(chance: random.Random, rows: Sequence[Any]) -> bytes:
    """Return a row of JSON with something wrong in its values, its syntax or its bytes."""
    row = json.dumps(changed(chance, chance.choice(rows))).encode()
    return flipped(chance, row) if chance.random() < 0.2 else row


def flipped(chance: random.Random, content: bytes) -> bytes:
    """Return bytes of which some were changed, left out, doubled or put in."""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        place = chance.randrange(len(content) + 1)
        match chance.randrange(5):
            case 0:
                content = content[:place] + bytes([chance.randrange(256)]) + content[place + 1 :]
            case 1:
                content = content[:place]
            case 2:
                content = content[:place] + content[max(place - 8, 0) : place] + content[place:]
            case 3:
                content = content[:place] + content[place + chance.randrange(1, 9) :]
            case 4:
                size = chance.choice((4, 8))
                number = chance.choice(INTEGERS) % (1 << 8 * size)
                content = content[:place] + number.to_bytes(size, "little") + content[place + size :]
    return content
