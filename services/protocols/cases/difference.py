"""How a found value differs from the wanted one, in one sentence that stays short whatever the values hold."""

from __future__ import annotations

import json
from collections.abc import Mapping

_MAX_WHOLE = 60
_MAX_SHOWN = 120
_BEFORE = 40
_Parts = tuple[str, object, object]


def told_difference(name: str, found: object, wanted: object) -> str:
    """Return "`name` is `found`, not `wanted`.", both as JSON; of long values only what differs first, by its place.

    A place is such as `todos[2]` or `arguments.query`; what is not there is shown as "nothing".
    """
    place, found, wanted = _first_difference(name, found, wanted)
    start = _begin(found, wanted)
    return f"{place} is {_shown(found, start)}, not {_shown(wanted, start)}."


def _first_difference(name: str, found: object, wanted: object) -> _Parts:
    while max(len(_text(found)), len(_text(wanted))) > _MAX_WHOLE:
        parts = _parts(found, wanted)
        if parts is None:
            break
        step, found, wanted = parts
        name += step
    return name, found, wanted


def _parts(found: object, wanted: object) -> _Parts | None:
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        pairs = [(f".{key}", found.get(key), wanted.get(key)) for key in dict.fromkeys((*wanted, *found))]
    elif isinstance(found, list | tuple) and isinstance(wanted, list | tuple):
        length = max(len(found), len(wanted))
        sides = ([*side, *[None] * (length - len(side))] for side in (found, wanted))
        pairs = [(f"[{place}]", one, other) for place, (one, other) in enumerate(zip(*sides, strict=True))]
    else:
        return None
    return next((pair for pair in pairs if _text(pair[1]) != _text(pair[2])), None)


def _begin(found: object, wanted: object) -> int:
    if not isinstance(found, str) or not isinstance(wanted, str) or max(len(found), len(wanted)) <= _MAX_SHOWN:
        return 0
    same = next((place for place, (one, other) in enumerate(zip(found, wanted, strict=False)) if one != other), None)
    return max((min(len(found), len(wanted)) if same is None else same) - _BEFORE, 0)


def _shown(value: object, start: int) -> str:
    if value is None:
        return "nothing"
    text = _text(value[start:] if isinstance(value, str) else value)
    cut = text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."
    return f"...{cut}" if start else cut


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
