"""Possible answers of the Berkeley Function-Calling Leaderboard as calls that are due."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.protocols.cases import Choice, Expected
from services.registry.domain.jsonl import LineError

ABSENT = ""
"""Among the allowed values it says that the argument may be left out."""


def calls_of(ground_truth: object, schemas: Mapping[str, Mapping[str, Any]]) -> list[Expected]:
    """Return the calls that are due.

    Args:
        ground_truth: a list of {function: {argument: [allowed values]}}.
        schemas: JSON schema of each function's parameters.

    Raises:
        LineError: it has another form.
    """
    if not isinstance(ground_truth, list) or not ground_truth:
        raise LineError("has a ground_truth that is no list of calls")
    return [_call(call, schemas) for call in ground_truth]


def _call(call: object, schemas: Mapping[str, Mapping[str, Any]]) -> Expected:
    if not isinstance(call, Mapping) or len(call) != 1:
        raise LineError("has a ground_truth whose calls are not objects with the name of one function")
    ((name, allowed),) = call.items()
    if not isinstance(allowed, Mapping):
        raise LineError(f"has a ground_truth without the arguments of {name}")
    schema = schemas.get(name, {})
    arguments: dict[str, object] = {}
    choices: list[Choice] = []
    for argument, values in allowed.items():
        if not isinstance(values, list) or not values:
            raise LineError(f"has a ground_truth whose {argument} is no list of allowed values")
        optional = ABSENT in values
        right = [value for value in values if value != ABSENT]
        kind = schema.get("properties", {}).get(argument, {}).get("type")
        # The leaderboard's checker takes these for leaving the argument out as well.
        if optional and (kind in (None, "string") or any(isinstance(value, str) for value in right)):
            right.append(ABSENT)
        elif optional and kind == "array":
            right.append([])
        if right and (not optional or argument in schema.get("required", ())):
            arguments[argument] = _example(right[0])
        choices.append(Choice(argument, tuple(right), optional=optional, loose=True, nested=True))
    return Expected(name, arguments, choices=tuple(choices))


def _example(value: object) -> object:
    """Return one of the values that an allowed one stands for: an object's entries are lists of allowed values."""
    if isinstance(value, Mapping):
        listed = {key: entry if isinstance(entry, list) and entry else [entry] for key, entry in value.items()}
        return {key: _example(entries[0]) for key, entries in listed.items() if ABSENT not in entries}
    return [_example(entry) for entry in value] if isinstance(value, list) else value
