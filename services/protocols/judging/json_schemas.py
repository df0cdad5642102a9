"""JSON schemas from elsewhere: none can hold up the judge.

Patterns are ECMAScript's, as JSON Schema has it, and are searched in bounded time; the references that are followed are
counted, since few of them can stand for a schema without end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Final

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from services.protocols.javascript.patterns import Pattern, compiled

MAX_STEPS: Final = 10_000
# A search that RE2 cannot make may take half a second.
_STEPS_OF_WALK: Final = 200
_ESCAPE: Final = re.compile(r"\\(u\{|[\s\S])")
_KNOWN_LETTERS: Final = frozenset("dDwWsSbBfnrtvcxuk")
_steps_left: ContextVar[list[int]] = ContextVar("steps_left")


class UnusableSchema(ValueError):
    """A schema that cannot be applied, or not within bounds."""


def check_json_schema(text: str) -> None:
    """Return when `text` is a JSON schema that can be used.

    Raises:
        SchemaError: It is none, or a pattern of it is none in ECMAScript; `cause` says what is wrong with a pattern.
        UnusableSchema: It joins keywords whose patterns cannot be bounded.
        RecursionError: It is nested too deep.
    """
    Draft202012Validator.check_schema(json.loads(text), format_checker=_FORMATS)
    _validator(text)


def errors_of(text: str, value: object) -> list[ValidationError]:
    """Return in what `value` does not fit the schema that `text` holds.

    Raises:
        UnusableSchema: The schema cannot be used, or not within bounds.
        RecursionError: Value or schema are nested too deep.
    """
    token = _steps_left.set([MAX_STEPS])
    try:
        return list(_validator(text).iter_errors(value))
    except Unresolvable as fault:
        raise UnusableSchema(str(fault)) from fault
    finally:
        _steps_left.reset(token)


@lru_cache(maxsize=256)
def _validator(text: str) -> Any:
    # The library looks for evaluated properties with patterns of its own language.
    if '"unevaluatedProperties"' in text and '"patternProperties"' in text:
        raise UnusableSchema("unevaluatedProperties does not go with patternProperties")
    return _Validator(json.loads(text), registry=Registry())


def _take(num_steps: int) -> None:
    steps = _steps_left.get()
    steps[0] -= num_steps
    if steps[0] < 0:
        raise UnusableSchema("it takes too many steps")


def _expression(pattern: str) -> Pattern:
    expression = compiled(pattern)
    if expression is None:
        raise UnusableSchema(f"the pattern {pattern[:80]!r} cannot be read")
    return expression


def _matches(pattern: str, text: str) -> bool:
    expression = _expression(pattern)
    if expression.linear is None:
        _take(_STEPS_OF_WALK)
    return expression.search(text)


def _pattern(_: Any, pattern: str, value: object, __: object) -> Iterator[ValidationError]:
    if isinstance(value, str) and not _matches(pattern, value):
        yield ValidationError(f"{value[:80]!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: Mapping[str, Any], value: object, _: object
) -> Iterator[ValidationError]:
    if isinstance(value, dict):
        for pattern, schema in patterns.items():
            for name in value:
                if _matches(pattern, name):
                    yield from validator.descend(value[name], schema, path=name, schema_path=pattern)


def _additional_properties(
    validator: Any, allowed: object, value: object, schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    patterns = schema.get("patternProperties", {})
    if patterns and isinstance(value, dict):
        names = {name: True for name in value if any(_matches(pattern, name) for pattern in patterns)}
        schema = {"properties": {**schema.get("properties", {}), **names}}
    yield from _KEYWORDS["additionalProperties"](validator, allowed, value, schema)


def _reference(keyword: str) -> Any:
    def follow(validator: Any, reference: str, value: object, schema: object) -> Iterator[ValidationError]:
        _take(1)
        yield from _KEYWORDS[keyword](validator, reference, value, schema) or ()

    return follow


def _check_pattern(pattern: object) -> bool:
    if isinstance(pattern, str):
        _expression(pattern)
        for escape in _ESCAPE.finditer(pattern):
            letter = escape[1]
            # JSON Schema reads patterns with the flag `u`, where these mean something else than without it.
            if letter == "u{" or (letter.isascii() and letter.isalpha() and letter not in _KNOWN_LETTERS):
                raise UnusableSchema(f"the pattern {pattern[:80]!r} holds \\{letter}, which is not supported")
    return True


_KEYWORDS: Final = Draft202012Validator.VALIDATORS
_Validator: Final = extend(
    Draft202012Validator,
    {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "$ref": _reference("$ref"),
        "$dynamicRef": _reference("$dynamicRef"),
    },
)
_FORMATS: Final = FormatChecker(())
_FORMATS.checks("regex", raises=ValueError)(_check_pattern)


def problem_of(error: SchemaError) -> str:
    """Return what is wrong with a schema, for a person."""
    return str(error.cause or error.message)[:200]
