import math
from typing import Any

import pytest

from services.protocols.roo_xml.nested.values import BadNestedValue
from services.protocols.roo_xml.tools import typed_arguments


def files(args: str) -> object:
    return typed_arguments("read_file", {"args": args})["files"]


def test_files_come_with_their_line_ranges() -> None:
    args = "<file><path>lib/a.py</path><line_range>10-40</line_range><line_range>lines 90-95</line_range></file>"
    args += "\n<file>\n<path>\nlib/b &amp; c.py\n</path>\n</file>"
    assert files(args) == [
        {"path": "lib/a.py", "line_ranges": [[10, 40], [90, 95]]},
        {"path": "lib/b & c.py", "line_ranges": []},
    ]


@pytest.mark.parametrize(
    "args",
    ["<path>a.py</path>", '{"path": "a.py"}', "a.py", "<files><file><path>a</path></file></files>", "<file>a</file>"],
)
def test_anything_but_file_elements_at_the_top_gives_no_file(args: str) -> None:
    assert files(args) == []


def test_a_path_with_children_stays_as_the_client_sees_it() -> None:
    assert files("<file><path kind='x'>a<b>c</b></path></file>") == [
        {"path": {"#text": "a", "b": "c", "@_kind": "x"}, "line_ranges": []}
    ]


@pytest.mark.parametrize("args", ["<file><path>a</path></fil", "<file></file></file><file><path>a</path></file>"])
def test_a_cut_tag_and_a_closing_tag_too_many_are_unreadable(args: str) -> None:
    with pytest.raises(BadNestedValue) as caught:
        files(args)
    assert caught.value.parameter == "args"


@pytest.mark.parametrize(
    "args", ["<file><path>a</path>", "<file><path>a</file></path>", "x <file><path>a</path></file> y"]
)
def test_missing_and_crossed_closing_tags_are_forgiven(args: str) -> None:
    assert files(args) == [{"path": "a", "line_ranges": []}]


def test_the_old_single_form_needs_both_bounds() -> None:
    old = {"path": "a.py", "start_line": "3", "end_line": "9"}
    assert typed_arguments("read_file", old)["files"] == [{"path": "a.py", "line_ranges": [[3, 9]]}]
    assert typed_arguments("read_file", old | {"end_line": "x"})["files"] == [{"path": "a.py", "line_ranges": []}]
    assert typed_arguments("read_file", old | {"start_line": "0"})["files"] == [{"path": "a.py", "line_ranges": []}]
    assert typed_arguments("read_file", {"start_line": "1"})["files"] == []


def test_suggestions_are_taken_raw_with_their_mode() -> None:
    text = "1. <suggest>a &amp; <br> b</suggest>\n<suggest mode='code'> c </suggest><suggest/>"
    assert typed_arguments("ask_followup_question", {"question": "Q?", "follow_up": text}) == {
        "question": "Q?",
        "follow_up": [{"text": "a &amp; <br> b"}, {"text": " c ", "mode": "code"}, {"text": ""}],
    }


@pytest.mark.parametrize("text", ["<suggest>a", "<suggest>a < b</suggest>", "<suggest>a</suggest"])
def test_a_suggestion_that_is_never_closed_is_unreadable(text: str) -> None:
    with pytest.raises(BadNestedValue):
        typed_arguments("ask_followup_question", {"question": "Q?", "follow_up": text})


@pytest.mark.parametrize(("value", "recursive"), [("true", True), ("TRUE", True), ("yes", False), ("", False)])
def test_only_true_means_recursive(value: str, recursive: bool) -> None:
    assert typed_arguments("list_files", {"path": ".", "recursive": value}) == {"path": ".", "recursive": recursive}


def test_absent_values_are_left_out_or_empty() -> None:
    assert typed_arguments("search_files", {"path": "a", "file_pattern": ""}) == {"path": "a", "regex": ""}
    assert typed_arguments("execute_command", {"command": "ls", "cwd": ""}) == {"command": "ls", "cwd": ""}
    assert typed_arguments("write_to_file", {"path": "a"}) == {"path": "a", "content": ""}


def test_numbers_and_operations_of_the_opt_in_tools_are_typed() -> None:
    edit = {"file_path": "a", "old_string": "b", "new_string": "c", "expected_replacements": "2 times"}
    assert typed_arguments("edit_file", edit)["expected_replacements"] == 2
    without_number: Any = typed_arguments("edit_file", edit | {"expected_replacements": "x"})
    assert math.isnan(without_number["expected_replacements"])
    assert "expected_replacements" not in typed_arguments("edit_file", edit | {"expected_replacements": ""})
    assert typed_arguments("search_and_replace", {"path": "a", "operations": "[1]"}) == {"path": "a", "operations": [1]}
    assert typed_arguments("search_and_replace", {"path": "a", "operations": "["})["operations"] == []


@pytest.mark.parametrize(
    ("digits", "number"),
    [
        ("9007199254740991", 9007199254740991),
        ("9007199254740993", 9007199254740992),
        ("36028797018963969", 36028797018963968),
        ("123456789012345678901234567890", 1.2345678901234568e29),
        ("00012", 12),
        ("1" + "0" * 308, 1e308),
        ("1" + "0" * 309, math.inf),
    ],
)
def test_numbers_are_doubles(digits: str, number: float) -> None:
    assert files(f"<file><path>a</path><line_range>1-{digits}</line_range></file>") == [
        {"path": "a", "line_ranges": [[1, number]]}
    ]
    written = {"path": "a", "start_line": "1", "end_line": digits}
    assert typed_arguments("read_file", written)["files"] == [{"path": "a", "line_ranges": [[1, number]]}]
    edit = typed_arguments("edit_file", {"file_path": "a", "expected_replacements": f"\ufeff {digits}x"})
    assert edit["expected_replacements"] == number


@pytest.mark.parametrize("bounds", [("0", "2"), ("1", "-2"), ("1", "0x10"), ("one", "2"), ("", "2"), ("1", "\x1c2")])
def test_a_range_of_the_old_form_needs_two_numbers_above_zero(bounds: tuple[str, str]) -> None:
    params = {"path": "a", "start_line": bounds[0], "end_line": bounds[1]}
    assert typed_arguments("read_file", params)["files"] == [{"path": "a", "line_ranges": []}]


@pytest.mark.parametrize("command", ["npm start", ""])
def test_a_completion_keeps_an_old_command_among_its_arguments(command: str) -> None:
    params = {"result": "Done.", "command": command}
    assert typed_arguments("attempt_completion", params) == params
    assert typed_arguments("attempt_completion", {"command": command}) == {"result": "", "command": command}
    assert "command" not in typed_arguments("attempt_completion", {"result": "Done."})
