"""Schemas from elsewhere: what their patterns mean, and that none holds up the judge."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema.exceptions import SchemaError

from services.protocols.judging.json_schemas import UnusableSchema, check_json_schema, errors_of, problem_of


def fits(schema: dict[str, Any], value: object) -> bool:
    return not errors_of(json.dumps(schema), value)


@pytest.mark.parametrize(
    ("pattern", "text", "is_match"),
    [
        (r"^\d+$", "42", True),
        (r"^\d+$", "42\n", False),
        (r"^\d+$", "४२", False),
        (r"^(?<year>\d{4})-\k<year>$", "2026-2026", True),
        (r"^(?=.*\d)(?=.*[a-z]).{4,}$", "abc1", True),
        ("^(a+)+$", "a" * 50_000 + "!", False),
        (r"^(a|aa)+\1$", "a" * 60 + "!", False),
    ],
)
def test_a_pattern_means_what_json_schema_says_and_ends(pattern: str, text: str, is_match: bool) -> None:
    assert fits({"pattern": pattern}, text) == is_match
    assert fits({"patternProperties": {pattern: False}}, {text: 1}) != is_match
    assert fits({"patternProperties": {pattern: {}}, "additionalProperties": False}, {text: 1}) == is_match


@pytest.mark.parametrize("pattern", ["(", "(?i)a", "(?P<n>a)", r"\p{L}", r"\Aa\Z", r"\u{61}", "[b-a]"])
def test_a_pattern_that_means_something_else_in_ecmascript_is_refused(pattern: str) -> None:
    for schema in ({"pattern": pattern}, {"items": {"patternProperties": {pattern: {}}}}):
        with pytest.raises(SchemaError) as caught:
            check_json_schema(json.dumps(schema))
        assert "the pattern" in problem_of(caught.value)


def test_a_property_may_be_called_pattern() -> None:
    check_json_schema(json.dumps({"properties": {"pattern": {"type": "string"}}, "default": {"pattern": "("}}))


def test_references_that_double_at_every_step_are_given_up() -> None:
    bomb = {f"a{depth}": {"allOf": [{"$ref": f"#/$defs/a{depth + 1}"}] * 2} for depth in range(40)}
    schema = {"$ref": "#/$defs/a0", "$defs": {**bomb, "a40": {}}}
    check_json_schema(json.dumps(schema))
    with pytest.raises(UnusableSchema, match="too many steps"):
        fits(schema, {})


def test_many_searches_that_walk_are_given_up() -> None:
    schema = {"items": {"pattern": r"^(a+)+\1!"}}
    with pytest.raises(UnusableSchema, match="too many steps"):
        fits(schema, ["a!"] * 1_000)


def test_evaluated_properties_by_patterns_of_another_language_are_refused() -> None:
    with pytest.raises(UnusableSchema, match="does not go with"):
        check_json_schema(json.dumps({"patternProperties": {"a": {}}, "unevaluatedProperties": False}))
