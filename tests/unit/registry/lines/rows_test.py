"""Rows of datasets and lines of suites."""

import json
from typing import Any

import pytest

from services.chassis.errors import InvalidArgument
from services.protocols.cases import case_to_document
from services.protocols.profile import get_profile
from services.protocols.suites.dataset_row import DatasetRow
from services.registry.domain.jsonl import Line, LineError
from services.registry.domain.test_suite import case_of, check_profile
from services.registry.usecases.dataset import row_of

PROFILE = get_profile("roo_xml")
CASE = next(PROFILE.draw(0, 1, categories=("single_call",)))


def row(**changes: Any) -> dict[str, Any]:
    return {
        "example_id": "e1",
        "split": "train",
        "cause": "no_call",
        "tool": CASE.tool,
        "profile_id": "roo_xml",
        "messages": PROFILE.example(CASE, "compact")["messages"],
        "case": case_to_document(CASE),
        **changes,
    }


def calling(function: object) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": function}]}


def line(document: dict[str, Any]) -> Line:
    return Line(1, json.dumps(document), document)


def test_a_row_of_the_pool_is_an_example() -> None:
    example = row_of(line(row(split="validation")))
    assert (example.example_id, example.split) == ("e1", "validation")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"example_id": ""}, "example_id"),
        ({"example_id": 7}, "example_id"),
        ({"example_id": "a\nb"}, "example_id"),
        ({"split": "test"}, "split"),
        ({"cause": None}, "cause"),
        ({"cause": "<script>"}, "cause"),
        ({"tool": ""}, "tool"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "root", "content": "x"}]}, "messages[1]"),
        ({"messages": [{"role": "user", "content": None}, {"role": "assistant", "content": "x"}]}, "messages[0]"),
        ({"messages": [{"role": "assistant", "content": "x"}, {"role": "user", "content": "x"}]}, "assistant"),
        ({"messages": [{"role": "user", "content": "x"}, calling({"name": "f", "arguments": {"a": 1}})]}, "tool_calls"),
        ({"messages": [{"role": "user", "content": "x"}, calling({"arguments": "{}"})]}, "messages[1]"),
        ({"messages": [{"role": "user", "content": "x"}, calling("f")]}, "tool_calls"),
        ({"tools": {"type": "function"}}, "tools"),
        ({"tools": [{"name": "f"}]}, "tools"),
        ({"profile_id": "unknown"}, "profile_id"),
        (
            {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [{"id": "1"}]}]},
            "tool_calls",
        ),
        ({"weight": 0}, "weight"),
        ({"weight": "2"}, "weight"),
        ({"weight": 10**400}, "weight"),
        ({"weight": 1e-300}, "weight"),
        ({"case": {}}, "no case"),
        ({"case": None}, "no case"),
    ],
)
def test_a_row_with_a_wrong_field_is_refused_by_its_name(change: dict[str, Any], words: str) -> None:
    with pytest.raises(LineError) as refusal:
        row_of(line(row(**change)))
    assert words in str(refusal.value)


def test_a_native_call_needs_no_content() -> None:
    call = calling({"name": "f", "arguments": "{}"})
    assert row_of(line(row(messages=[{"role": "user", "content": "x"}, call]))).example_id == "e1"


def test_a_row_may_have_functions_beside_its_messages() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    messages = [{"role": "user", "content": "x"}, calling({"name": "f", "arguments": '{"a": 1}'})]
    assert row_of(line(row(messages=messages, tools=[tool]))).example_id == "e1"


def test_a_line_of_a_suite_is_kept_as_it_is() -> None:
    document = case_to_document(CASE)
    case = case_of(line(document), "roo_xml")
    assert (case.case_id, case.category, case.tool) == (CASE.case_id, CASE.category, CASE.tool)
    assert json.loads(case.document) == document


@pytest.mark.parametrize(
    "change", [{"case_id": ""}, {"case_id": "a\tb"}, {"expected": None}, {"surprise": 1}, {"mode": "kode"}]
)
def test_a_line_that_is_no_case_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(LineError) as refusal:
        case_of(line({**case_to_document(CASE), **change}), "roo_xml")
    assert next(iter(change)) in str(refusal.value)


def test_a_suite_of_an_unknown_protocol_is_refused_naming_the_known() -> None:
    check_profile("roo_xml")
    with pytest.raises(InvalidArgument, match="roo_xml"):
        check_profile("rooxml")


def test_a_plain_conversation_is_a_row_and_is_named_by_its_line() -> None:
    document = {"messages": [{"role": "user", "content": "Say a."}, {"role": "assistant", "content": "a"}]}
    plain = row_of(Line(3, json.dumps(document), document))
    assert (plain.example_id, plain.split, plain.case, plain.weight) == ("3", "train", None, 1)
    assert plain.to_json() == {"example_id": "3", "split": "train", **document}


def test_a_row_is_read_as_it_was_written() -> None:
    written = DatasetRow.from_json(row(weight=2.5, category="single_call", tools=[{"function": {"name": "f"}}]))
    assert DatasetRow.from_json(json.loads(json.dumps(written.to_json()))) == written
