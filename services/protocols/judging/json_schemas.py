"""JSON schemas from elsewhere: none can hold up the judge.

Patterns are ECMAScript's, as JSON Schema has it, and are searched in bounded time. Whatever the library does is counted
in steps of some ten microseconds, since few words can stand for a schema without end, and its errors for more text than
memory holds.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import attrs
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from services.protocols.javascript.patterns import Pattern, compiled

MAX_STEPS: Final = 100_000
# A search that RE2 cannot make may take half a second.
_STEPS_OF_WALK: Final = 2_000
# So much of a text, and so many values, are looked at in one step.
_CHARACTERS_OF_STEP: Final = 1_000
_VALUES_OF_STEP: Final = 10
_STEPS_OF_ERROR: Final = 5
# Whether it is a schema at all takes a tenth of a millisecond for each of its parts.
_MAX_PARTS: Final = 5_000
# Keywords within keywords, of which each takes three frames of Python's thousand.
_MAX_DEPTH: Final = 250
_MAX_ERRORS: Final = 1_000
_MAX_MESSAGE: Final = 1_000
_ESCAPE: Final = re.compile(r"\\(u\{|[\s\S])")
_KNOWN_LETTERS: Final = frozenset("dDwWsSbBfnrtvcxuk")


@dataclass
class _Left:
    """What may still be done for one value."""

    steps: int = MAX_STEPS
    depth: int = _MAX_DEPTH


_left: ContextVar[_Left] = ContextVar("left")


class UnusableSchema(ValueError):
    """A schema that cannot be applied, or not within bounds."""


def check_json_schema(text: str) -> None:
    """Return when `text` is a JSON schema that can be used.

    Raises:
        SchemaError: It is none, or a pattern of it is none in ECMAScript; `cause` says what is wrong with a pattern.
        UnusableSchema: It is too large to be checked, or joins keywords whose patterns cannot be bounded.
        RecursionError: It is nested too deep.
    """
    with _bounded():
        schema = json.loads(text)
        _check_size(schema)
        Draft202012Validator.check_schema(schema, format_checker=_FORMATS)
    _validator(text)


def errors_of(text: str, value: object) -> list[ValidationError]:
    """Return in what `value` does not fit the schema that `text` holds, up to a thousand things.

    Raises:
        UnusableSchema: The schema cannot be used, or not within bounds.
        RecursionError: Value or schema are nested too deep.
    """
    with _bounded():
        try:
            return list(islice(_validator(text).iter_errors(value), _MAX_ERRORS))
        except Unresolvable as fault:
            raise UnusableSchema(str(fault)) from fault


@lru_cache(maxsize=256)
def _validator(text: str) -> Any:
    # The library looks for evaluated properties with patterns of its own language.
    if '"unevaluatedProperties"' in text and '"patternProperties"' in text:
        raise UnusableSchema("unevaluatedProperties does not go with patternProperties")
    return _Validator(json.loads(text), registry=Registry())


@contextmanager
def _bounded() -> Iterator[None]:
    token = _left.set(_Left())
    try:
        yield
    finally:
        _left.reset(token)


def _take(num_steps: int) -> None:
    left = _left.get()
    left.steps -= num_steps
    if left.steps < 0:
        raise UnusableSchema("it takes too many steps")


@contextmanager
def _one_deeper() -> Iterator[None]:
    left = _left.get()
    left.depth -= 1
    try:
        if left.depth < 0:
            raise UnusableSchema("it is nested too deep")
        yield
    finally:
        left.depth += 1


def _expression(pattern: str) -> Pattern:
    expression = compiled(pattern)
    if expression is None:
        raise UnusableSchema(f"the pattern {pattern[:80]!r} cannot be read")
    return expression


def _matches(pattern: str, text: str) -> bool:
    expression = _expression(pattern)
    _take(1 + len(text) // _CHARACTERS_OF_STEP)
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


def _check_size(schema: object) -> None:
    waiting, num_parts = [schema], 0
    while waiting:
        part = waiting.pop()
        num_parts += isinstance(part, dict | list | bool)
        if num_parts > _MAX_PARTS:
            raise UnusableSchema(f"it has more than {_MAX_PARTS} parts")
        waiting += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()


def _unique_items(_: Any, is_wanted: object, value: object, __: object) -> Iterator[ValidationError]:
    if is_wanted is True and isinstance(value, list):
        _take(_size_of(value))
        if len({_identity_of(item) for item in value}) < len(value):
            yield ValidationError("there are equal items")


def _identity_of(value: object) -> object:
    """Return what two values have in common if they are equal in JSON, where 1 is 1.0 and neither is true."""
    if isinstance(value, dict):
        return frozenset((name, _identity_of(entry)) for name, entry in value.items())
    return tuple(map(_identity_of, value)) if isinstance(value, list) else (isinstance(value, bool), value)


def _size_of(value: object) -> int:
    """Return in how many steps a value can be looked through."""
    waiting, num_values, num_characters = [value], 0, 0
    while waiting:
        entry = waiting.pop()
        num_values += 1
        if isinstance(entry, str):
            num_characters += len(entry)
        elif isinstance(entry, dict | list):
            waiting += entry.values() if isinstance(entry, dict) else entry
    return 1 + num_values // _VALUES_OF_STEP + num_characters // _CHARACTERS_OF_STEP


def _steps_of(keyword: str, argument: object, value: object) -> int:
    """Return how much a keyword does, besides what it lets other ones do."""
    if keyword in ("enum", "const"):
        num_values = len(argument) if keyword == "enum" and isinstance(argument, list) else 1
        return 1 + num_values * _size_of(value) // _VALUES_OF_STEP
    return 1 + sum(len(part) for part in (argument, value) if isinstance(part, dict | list)) // _VALUES_OF_STEP


def _counted(keyword: str, apply: Callable[..., Any]) -> Callable[..., Iterator[ValidationError]]:
    def follow(validator: Any, argument: Any, value: object, schema: object) -> Iterator[ValidationError]:
        _take(_steps_of(keyword, argument, value))
        with _one_deeper():
            for error in apply(validator, argument, value, schema) or ():
                # It repeats the value, and those of all branches that were tried.
                _take(_STEPS_OF_ERROR + len(error.message) // _CHARACTERS_OF_STEP)
                error.message, error.args, error.context = error.message[:_MAX_MESSAGE], (), []
                yield error

    return follow


def _check_pattern(pattern: object) -> bool:
    if isinstance(pattern, str):
        # Each letter may become a step of a program.
        _take(2 * len(pattern))
        _expression(pattern)
        for escape in _ESCAPE.finditer(pattern):
            letter = escape[1]
            # JSON Schema reads patterns with the flag `u`, where these mean something else than without it.
            if letter == "u{" or (letter.isascii() and letter.isalpha() and letter not in _KNOWN_LETTERS):
                raise UnusableSchema(f"the pattern {pattern[:80]!r} holds \\{letter}, which is not supported")
    return True


_KEYWORDS: Final = Draft202012Validator.VALIDATORS
_OURS: Final = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
}
_Validator: Final = extend(
    Draft202012Validator, {keyword: _counted(keyword, apply) for keyword, apply in ({**_KEYWORDS, **_OURS}).items()}
)
# The library's own method would take a part that names a `$schema` to a validator of that draft, which bounds nothing.
_Validator.evolve = attrs.evolve
_FORMATS: Final = FormatChecker(())
_FORMATS.checks("regex", raises=ValueError)(_check_pattern)


def problem_of(error: SchemaError) -> str:
    """Return what is wrong with a schema, for a person."""
    return str(error.cause or error.message)[:200]
