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


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"items": {"enum": [f"v{place}" for place in range(30_000)]}}, ["x"] * 20_000),
        ({"items": {"anyOf": [{"const": place} for place in range(2_000)]}}, ["x"] * 5_000),
        ({"items": {"properties": {f"p{place}": {} for place in range(30_000)}}}, [{}] * 20_000),
        ({"allOf": [{"items": True}] * 20_000}, [1] * 100_000),
        # Each error would repeat the text.
        ({"allOf": [{"type": "number"}] * 20_000}, "a" * 500_000),
        ({"allOf": [{"pattern": "xy+z"}] * 20_000}, "a" * 500_000),
        ({"allOf": [{"contains": {"const": 1}}] * 3_000}, [2] * 10_000),
    ],
)
def test_what_takes_a_product_of_schema_and_value_is_given_up(schema: dict[str, Any], value: object) -> None:
    with pytest.raises(UnusableSchema, match="too many steps"):
        fits(schema, value)


@pytest.mark.parametrize(
    "draft", ["https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft-07/schema#"]
)
def test_a_part_that_names_a_draft_is_bounded_too(draft: str) -> None:
    part = {"$schema": draft, "pattern": "^(a+)+$"}
    text = "a" * 50_000 + "!"
    assert not fits({"properties": {"a": part}}, {"a": text})
    assert not fits({**part, "properties": {"a": {"$ref": "#"}}}, {"a": text})


def test_a_schema_that_is_too_large_to_be_checked_is_refused() -> None:
    check_json_schema(json.dumps({"allOf": [{"type": "string"}] * 1_000, "enum": ["a"] * 10_000}))
    for large in ({"allOf": [{"type": "string"}] * 5_000}, {"allOf": [True] * 5_000}):
        with pytest.raises(UnusableSchema, match="more than 5000 parts"):
            check_json_schema(json.dumps(large))
    with pytest.raises(SchemaError) as caught:
        check_json_schema(json.dumps({"allOf": [{"pattern": f"{place}" + "a" * 3_000} for place in range(100)]}))
    assert problem_of(caught.value) == "it takes too many steps"


def test_a_reference_to_itself_is_given_up_before_the_interpreter_does() -> None:
    with pytest.raises(UnusableSchema, match="nested too deep"):
        fits({"$ref": "#"}, {})
    deep: object = 1
    for _ in range(100):
        deep = {"a": deep}
    assert fits({"properties": {"a": {"$ref": "#"}}}, deep)


def test_equal_items_are_those_of_json() -> None:
    schema = {"uniqueItems": True}
    assert fits(schema, [1, True, "1", [1], {"a": 1}, {"a": True}, [True], {}, [], None, 0, False, ""])
    for twice in ([1, 1.0], [{"a": 1, "b": [2]}, {"b": [2.0], "a": 1}], [[], []], [None, None]):
        assert not fits(schema, twice)
    assert fits(schema, [{"number": place} for place in range(20_000)])
    assert fits({"uniqueItems": False}, [1, 1])


def test_many_values_of_a_usual_schema_are_checked_to_their_end() -> None:
    entry = {
        "type": "object",
        "properties": {"name": {"pattern": "^x[0-9]+$"}, "count": {"type": "integer", "minimum": 0}},
        "required": ["name"],
        "additionalProperties": False,
    }
    values: list[dict[str, object]] = [{"name": f"x{place}", "count": place} for place in range(5_000)]
    assert fits({"items": entry}, values)
    assert [error.absolute_path[0] for error in errors_of(json.dumps({"items": entry}), [*values, {}])] == [5_000]
