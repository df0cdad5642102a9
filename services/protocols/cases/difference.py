"""How a value differs from the expected one, in one sentence that stays short whatever the values hold."""

import json
from collections.abc import Mapping

_MAX_WHOLE = 60
_MAX_SHOWN = 120
_BEFORE = 40
_Parts = tuple[str, object, object]


def difference_sentence(name: str, value: object, expected: object) -> str:
    """Return "`name` is `value`, not `expected`.", both as JSON; of long values only what differs first, by its place.

    A place is such as `todos[2]` or `arguments.query`. What is not there is missing; what is too much is not asked for.
    """
    place, value, expected = _first_difference(name, value, expected)
    if value is None:
        return f"{place} is missing: the task asks for {_shown(expected, 0)}."
    if expected is None:
        return f"{place} is {_shown(value, 0)}, which the task does not ask for."
    start = _begin(value, expected)
    return f"{place} is {_shown(value, start)}, not {_shown(expected, start)}."


def _first_difference(name: str, value: object, expected: object) -> _Parts:
    while max(len(_text(value)), len(_text(expected))) > _MAX_WHOLE:
        parts = _parts(value, expected)
        if parts is None:
            break
        step, value, expected = parts
        name += step
    return name, value, expected


def _parts(value: object, expected: object) -> _Parts | None:
    if isinstance(value, Mapping) and isinstance(expected, Mapping):
        pairs = [(f".{key}", value.get(key), expected.get(key)) for key in dict.fromkeys((*expected, *value))]
    elif isinstance(value, list | tuple) and isinstance(expected, list | tuple):
        length = max(len(value), len(expected))
        sides = ([*side, *[None] * (length - len(side))] for side in (value, expected))
        pairs = [
            (f"[{place}]", entry, expected_entry)
            for place, (entry, expected_entry) in enumerate(zip(*sides, strict=True))
        ]
    else:
        return None
    return next((pair for pair in pairs if _text(pair[1]) != _text(pair[2])), None)


def _begin(value: object, expected: object) -> int:
    if not isinstance(value, str) or not isinstance(expected, str) or max(len(value), len(expected)) <= _MAX_SHOWN:
        return 0
    same = next(
        (place for place, (left, right) in enumerate(zip(value, expected, strict=False)) if left != right), None
    )
    return max((min(len(value), len(expected)) if same is None else same) - _BEFORE, 0)


def _shown(value: object, start: int) -> str:
    text = _text(value[start:] if isinstance(value, str) else value)
    cut = text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."
    return f"...{cut}" if start else cut


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
