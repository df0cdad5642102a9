"""`json_schema`: the answer is JSON that the schema allows, and equal to a target if there is one."""

import json
import re
from collections.abc import Mapping

from jsonschema.exceptions import SchemaError

from services.protocols.cases import CaseError, Scoring
from services.protocols.cases.fields import MAX_DEPTH, depth_of
from services.protocols.javascript import refuse_constant
from services.protocols.judging.json_schemas import UnusableSchema, check_json_schema, errors_of, problem_of
from services.protocols.plain_text.scorers.scorer import Scorer

_FENCE = re.compile(r"```(?:json)?[ \t]*\n([^`]*)\n[ \t]*```")
_FORBIDDEN = ("$ref", "$dynamicRef", "patternProperties", "unevaluatedProperties", "unevaluatedItems")


def score(answer: str, scoring: Scoring) -> float:
    """Return 1 when the answer, or the one fenced block in it, is what is asked for, else 0."""
    try:
        value = _value_of(answer)
        schema = json.dumps(scoring.options.get("schema", {}), default=dict)
        is_allowed = not errors_of(schema, value)
    except (ValueError, RecursionError):
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


def check(scoring: Scoring) -> None:
    """Refuse what is no schema, what could lead out of it or run without bound, and targets that are no JSON."""
    schema = scoring.options.get("schema", {})
    text = json.dumps(schema, default=dict)
    try:
        check_json_schema(text)
    except (SchemaError, UnusableSchema) as error:
        problem = problem_of(error) if isinstance(error, SchemaError) else str(error)
        raise CaseError("scoring.options.schema", f"is no JSON schema: {problem}") from error
    _check_keywords(json.loads(text))
    for place, target in enumerate(scoring.targets):
        try:
            json.loads(target)
        except ValueError as error:
            raise CaseError(f"scoring.targets[{place}]", f"is no JSON: {error}") from error


def _check_keywords(schema: object) -> None:
    waiting = [schema]
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, dict):
            if forbidden := [name for name in _FORBIDDEN if name in entry]:
                raise CaseError("scoring.options.schema", f"may not hold {forbidden[0]}")
            waiting += entry.values()
        elif isinstance(entry, list):
            waiting += entry


JSON_SCHEMA = Scorer(score, {"schema": Mapping}, needs_targets=False, check=check)
