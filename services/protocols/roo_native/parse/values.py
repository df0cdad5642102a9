"""JSON values as the client's language reads, converts and writes them."""

import json
import math
import re
from collections.abc import Mapping

from services.protocols.cases.fields import depth_of
from services.protocols.javascript.text import refuse_constant, trim

Number = int | float

MAX_DEPTH = 200
"""Levels of lists and objects within each other that arguments may have."""

_EXACT = 2**53
_DECIMAL = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|Infinity)")
_RADIX = re.compile(r"0(?:[xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+)")
_BASES = {"x": 16, "o": 8, "b": 2}


def read_json(text: str) -> object:
    """Return the value of a JSON text as `JSON.parse` reads it; numbers are doubles, whole ones given as int.

    Raises:
        ValueError: the text is no JSON, or nested too deep to be read.
    """
    try:
        value: object = json.loads(text, parse_int=_number, parse_float=_number, parse_constant=refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if text.count("[") + text.count("{") > MAX_DEPTH and depth_of(value, MAX_DEPTH) > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    return value


def _number(digits: str) -> Number:
    return _shortest(float(digits))


def _shortest(value: float) -> Number:
    return int(value) if abs(value) <= _EXACT and value == int(value) else value


def write_json(value: object, *, sort_keys: bool = False) -> str:
    """Return `value` as `JSON.stringify` writes it; numbers that JSON lacks become null."""
    try:
        return _ENCODERS[sort_keys](value)
    except ValueError:
        return _ENCODERS[sort_keys](_finite(value))


_ENCODERS = {
    sort_keys: json.JSONEncoder(
        ensure_ascii=False, separators=(",", ":"), sort_keys=sort_keys, allow_nan=False, default=dict
    ).encode
    for sort_keys in (False, True)
}


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    return [_finite(entry) for entry in value] if isinstance(value, list | tuple) else value


def text_of(value: object) -> str:
    """Return a text as it is, and anything else as JSON."""
    return value if isinstance(value, str) else write_json(value)


def is_filled(value: object) -> bool:
    """Return whether the client's language counts `value` as true."""
    if isinstance(value, float) and math.isnan(value):
        return False
    return value not in (None, "", 0, False)


def number_of(value: object) -> float:
    """Return the number that `Number(value)` makes of a JSON value; NaN where it makes none."""
    if isinstance(value, list) and len(value) <= 1:
        # A list is read as its text, in which null is nothing.
        value = "" if not value or value[0] is None else value[0]
        if isinstance(value, bool):
            return math.nan
        return number_of(value)
    if isinstance(value, bool | int | float):
        return float(value)
    if isinstance(value, str):
        return _number_in(trim(value))
    return 0.0 if value is None else math.nan


def _number_in(text: str) -> float:
    if _DECIMAL.fullmatch(text):
        return float(text.replace("Infinity", "inf"))
    if not _RADIX.fullmatch(text):
        return math.nan if text else 0.0
    try:
        return float(int(text[2:], _BASES[text[1].lower()]))
    except OverflowError:
        return math.inf


def json_number(value: object) -> Number | None:
    """Return the number that `Number(value)` makes; None for one that JSON lacks."""
    number = number_of(value)
    return _shortest(number) if math.isfinite(number) else None


def optional_number(value: object) -> Number | None:
    """Return the finite number that a number or a text stands for, or None."""
    is_read = isinstance(value, int | float | str) and not isinstance(value, bool)
    return json_number(value) if is_read else None


def optional_boolean(value: object) -> bool | None:
    """Return the boolean that a boolean or a text stands for, or None."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(trim(value).lower()) if isinstance(value, str) else None
