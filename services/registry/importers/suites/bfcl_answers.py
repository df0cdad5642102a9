"""Possible answers of the Berkeley Function-Calling Leaderboard as calls that are due."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

from services.protocols.cases import Choice, Expected
from services.registry.domain.jsonl import LineError

MAX_VALUES = 512
"""Right values that one argument may have."""

ABSENT = ""
"""Among the allowed values it says that the argument may be left out."""


def calls_of(ground_truth: object, required: Mapping[str, Iterable[str]]) -> list[Expected]:
    """Return the calls that are due.

    Args:
        ground_truth: a list of {function: {argument: [allowed values]}}.
        required: names of the parameters that a call of each function must give.

    Raises:
        LineError: it has another form, or an argument has too many right values.
    """
    if not isinstance(ground_truth, list) or not ground_truth:
        raise LineError("has a ground_truth that is no list of calls")
    return [_call(call, required) for call in ground_truth]


def _call(call: object, required: Mapping[str, Iterable[str]]) -> Expected:
    if not isinstance(call, Mapping) or len(call) != 1:
        raise LineError("has a ground_truth whose calls are not objects with the name of one function")
    ((name, allowed),) = call.items()
    if not isinstance(allowed, Mapping):
        raise LineError(f"has a ground_truth without the arguments of {name}")
    arguments: dict[str, object] = {}
    choices: list[Choice] = []
    for argument, values in allowed.items():
        right, optional = _right_values(argument, values)
        if right and (not optional or argument in required.get(name, ())):
            arguments[argument], right = right[0], right[1:]
        choices.append(Choice(argument, tuple(right), optional=optional, loose=True))
    return Expected(name, arguments, choices=tuple(choices))


def _right_values(argument: str, values: object) -> tuple[list[object], bool]:
    """Return each right value, and whether the argument may be left out."""
    if not isinstance(values, list) or not values:
        raise LineError(f"has a ground_truth whose {argument} is no list of allowed values")
    right: list[object] = []
    for value in values:
        if value == ABSENT:
            continue
        right += _variants(value)
        if len(right) > MAX_VALUES:
            raise LineError(f"has a ground_truth with more than {MAX_VALUES} right values of {argument}")
    # An empty text alone is the value itself.
    is_text = not right
    return ([""] if is_text else right), ABSENT in values


def _variants(value: object) -> list[object]:
    """Return every value that a value stands for: an object's entries are lists of allowed values themselves."""
    if isinstance(value, Mapping):
        names = list(value)
        return [
            {name: entry for name, entry in zip(names, chosen, strict=True) if entry is not _GONE}
            for chosen in _product([_allowed(entry) for entry in value.values()])
        ]
    if isinstance(value, list):
        return [list(chosen) for chosen in _product([_variants(entry) for entry in value])]
    return [value]


_GONE = object()


def _allowed(entry: object) -> list[object]:
    if not isinstance(entry, list):
        return [entry]
    found: list[object] = []
    for value in entry:
        found += [_GONE] if value == ABSENT else _variants(value)
    return found


def _product(parts: list[list[Any]]) -> Iterable[tuple[Any, ...]]:
    count = 1
    for part in parts:
        count *= len(part)
        if count > MAX_VALUES:
            raise LineError(f"has a ground_truth with more than {MAX_VALUES} right values of one argument")
    return product(*parts)
