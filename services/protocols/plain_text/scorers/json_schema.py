"""`json_schema`: the answer is JSON that the schema allows, and equal to a target if there is one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import re2  # type: ignore[import-untyped]
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from services.protocols.cases import CaseError, Scoring
from services.protocols.cases.fields import MAX_DEPTH, depth_of
from services.protocols.javascript import refuse_constant
from services.protocols.plain_text.scorers.regex import compiled, reason_of
from services.protocols.plain_text.scorers.scorer import Scorer

_FENCE = re.compile(r"```(?:json)?[ \t]*\n([^`]*)\n[ \t]*```")
_FORBIDDEN = ("$ref", "$dynamicRef", "patternProperties", "unevaluatedProperties", "unevaluatedItems")


def _pattern(validator: Any, pattern: str, value: object, schema: object) -> Iterator[ValidationError]:
    if isinstance(value, str) and not compiled(pattern).search(value):
        yield ValidationError(f"{value[:80]!r} does not match {pattern!r}")


# Patterns of a suite that was imported must not hold up the judge.
_Validator = extend(Draft202012Validator, {"pattern": _pattern})


def score(answer: str, scoring: Scoring) -> float:
    """Return 1 when the answer, or the one fenced block in it, is what is asked for, else 0."""
    try:
        value = _value_of(answer)
        is_allowed = _validator(json.dumps(scoring.options.get("schema", {}), default=dict)).is_valid(value)
    except (ValueError, RecursionError, Unresolvable):
        return 0.0
    targets = [json.loads(target) for target in scoring.targets]
    return float(is_allowed and (not targets or any(_same(value, target) for target in targets)))


def _value_of(answer: str) -> object:
    blocks = _FENCE.findall(answer)
    value: object = json.loads(blocks[0] if len(blocks) == 1 else answer, parse_constant=refuse_constant)
    if depth_of(value, MAX_DEPTH) > MAX_DEPTH:
        raise ValueError("nested too deep")
    return value


def _same(entry: object, other: object) -> bool:
    """Compare without taking true for 1, as `==` does."""
    return json.dumps(entry, sort_keys=True) == json.dumps(other, sort_keys=True)


@lru_cache(maxsize=256)
def _validator(text: str) -> Any:
    return _Validator(json.loads(text), registry=Registry())


def check(scoring: Scoring) -> None:
    """Refuse what is no schema, what could lead out of it or run without bound, and targets that are no JSON."""
    schema = scoring.options.get("schema", {})
    text = json.dumps(schema, default=dict)
    try:
        Draft202012Validator.check_schema(json.loads(text))
        for pattern in _checked(json.loads(text)):
            compiled(pattern)
    except SchemaError as error:
        raise CaseError("scoring.options.schema", f"is no JSON schema: {error.message[:200]}") from error
    except re2.error as error:
        raise CaseError("scoring.options.schema", f"holds a pattern that RE2 cannot run: {reason_of(error)}") from error
    for place, target in enumerate(scoring.targets):
        try:
            json.loads(target)
        except ValueError as error:
            raise CaseError(f"scoring.targets[{place}]", f"is no JSON: {error}") from error


def _checked(schema: object) -> Iterator[str]:
    waiting = [schema]
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, dict):
            if forbidden := [name for name in _FORBIDDEN if name in entry]:
                raise CaseError("scoring.options.schema", f"may not hold {forbidden[0]}")
            if isinstance(entry.get("pattern"), str):
                yield entry["pattern"]
            waiting += entry.values()
        elif isinstance(entry, list):
            waiting += entry


JSON_SCHEMA = Scorer(score, {"schema": Mapping}, needs_targets=False, check=check)
