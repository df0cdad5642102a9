"""Calls that change files: what becomes of the files, and of the client's counts."""

import json
from typing import Any

import pytest

from services.protocols.roo_native.turn import take_turn
from services.protocols.turn import Answer, ClientState, ToolCall, TurnOutcome

OPT_IN = frozenset(("edit", "search_replace", "edit_file", "apply_patch"))
FILES = {"a.txt": "one\ntwo\none\n", "crlf.txt": "x\r\ny\r\n"}


def take(name: str, *, denied: frozenset[str] = frozenset(), **arguments: Any) -> tuple[TurnOutcome, ClientState]:
    state = ClientState(files=dict(FILES), mistakes=1, included_tools=OPT_IN, denied_tools=denied)
    return take_turn(state, Answer("", (ToolCall(name, json.dumps(arguments)),))), state


def patch(*lines: str) -> str:
    return "\n".join(("*** Begin Patch", *lines, "*** End Patch"))


def test_a_diff_that_applies_in_part_is_accepted_with_a_remark() -> None:
    diff = "\n".join(
        f"<<<<<<< SEARCH\n:start_line:{line}\n-------\n{old}\n=======\nnew\n>>>>>>> REPLACE"
        for line, old in ((2, "two"), (3, "three"))
    )
    outcome, state = take("apply_diff", path="a.txt", diff=diff)
    assert (outcome.calls[0].verdict, outcome.calls[0].codes) == ("accepted", ("some_parts_failed",))
    assert (state.files["a.txt"], state.mistakes) == ("one\nnew\none\n", 0)
    assert "1 of 2 blocks" in outcome.calls[0].reply


def test_a_write_says_whether_the_file_is_new() -> None:
    created = json.loads(take("write_to_file", path="n.txt", content="x")[0].calls[0].reply)
    modified = json.loads(take("write_to_file", path="./a.txt", content="x")[0].calls[0].reply)
    assert (created["operation"], modified["operation"]) == ("created", "modified")
    assert take("write_to_file", path="./a.txt", content="x")[1].files["a.txt"] == "x"


def test_a_single_block_brings_a_note_that_several_fit() -> None:
    diff = "<<<<<<< SEARCH\n:start_line:2\n-------\ntwo\n=======\nnew\n>>>>>>> REPLACE"
    assert take("apply_diff", path="a.txt", diff=diff)[0].calls[0].reply.endswith("</notice>")


@pytest.mark.parametrize("tool", ["edit", "search_replace"])
@pytest.mark.parametrize(
    ("arguments", "code", "mistakes", "recorded"),
    [
        ({"file_path": "", "old_string": "a", "new_string": "b"}, "missing_param:file_path", 2, True),
        ({"file_path": "a.txt", "old_string": "", "new_string": "b"}, "missing_param:old_string", 2, True),
        ({"file_path": "a.txt", "old_string": "two", "new_string": "two"}, "identical", 2, True),
        ({"file_path": "gone", "old_string": "a", "new_string": "b"}, "file_not_found", 2, True),
        ({"file_path": "a.txt", "old_string": "zzz", "new_string": "b"}, "no_match", 2, True),
        ({"file_path": "a.txt", "old_string": "one", "new_string": "b"}, "several_matches", 2, True),
        ({"file_path": "a.txt", "old_string": 1, "new_string": "b"}, "bad_value", 1, False),
    ],
)
def test_replacements_that_fail_are_mistakes_but_do_not_fail_the_turn(
    tool: str, arguments: dict[str, Any], code: str, mistakes: int, recorded: bool
) -> None:
    outcome, state = take(tool, **arguments)
    assert (outcome.calls[0].codes, state.mistakes, outcome.turn_failed) == ((code,), mistakes, False)
    assert (outcome.failures == {tool: 1}) == recorded
    assert state.files == FILES


EDITS = {"edit": {}, "search_replace": {}, "edit_file": {}, "search_and_replace": {"replace_all": True}}


@pytest.mark.parametrize("tool", EDITS)
def test_a_replacement_that_the_user_allows_counts_as_two_attempts(tool: str) -> None:
    name = "edit" if tool == "search_and_replace" else tool
    for old, new, denied, attempts, failures in (
        ("two", "2", frozenset[str](), 2, {}),
        ("two", "2", frozenset((tool,)), 1, {}),
        ("zzz", "2", frozenset[str](), 1, {name: 1}),
    ):
        arguments = {"file_path": "a.txt", "old_string": old, "new_string": new, **EDITS[tool]}
        outcome, _ = take(tool, denied=denied, **arguments)
        assert (outcome.attempts, outcome.failures) == ({name: attempts}, failures)
    unchanged = {"file_path": "crlf.txt", "old_string": "x\r\ny", "new_string": "x\ny", **EDITS[tool]}
    assert take(tool, **unchanged)[0].attempts == {name: 1}


@pytest.mark.parametrize("tool", ["write_to_file", "apply_diff"])
def test_other_edits_count_once(tool: str) -> None:
    diff = "<<<<<<< SEARCH\n:start_line:2\n-------\ntwo\n=======\nnew\n>>>>>>> REPLACE"
    assert take(tool, path="a.txt", diff=diff, content="x")[0].attempts == {tool: 1}


def test_a_new_file_counts_as_two_attempts() -> None:
    outcome, state = take("edit_file", file_path="n.txt", old_string=["x"], new_string=None)
    assert (outcome.attempts, state.files["n.txt"], state.mistakes) == ({"edit_file": 2}, "", 0)


@pytest.mark.parametrize("tool", ["edit", "search_replace", "search_and_replace"])
@pytest.mark.parametrize(
    ("path", "old", "new", "code", "mistakes", "recorded"),
    [
        ("", 5, 5, "missing_param:file_path", 2, True),
        (0, "a", "b", "missing_param:file_path", 2, True),
        ("x.key", 0, None, "missing_param:old_string", 2, True),
        ("x.key", 5, 5.0, "identical", 2, True),
        ("folder", True, True, "identical", 2, True),
        ("x.key", 1, True, "ignored_file", 1, False),
        ("x.key", ["a"], ["a"], "ignored_file", 1, False),
        ("folder", {"a": 1}, {"a": 1}, "is_directory", 2, True),
        ("folder/", "a", 7, "is_directory", 2, True),
        (".", "a", 7, "is_directory", 2, True),
        ("gone", 5, None, "file_not_found", 2, True),
        ("a.txt", "two", None, "bad_value", 1, False),
        ("a.txt", ["two"], "x", "bad_value", 1, False),
        ({"a": 1}, "two", "x", "bad_path_value", 1, False),
        ({"a": 1}, "two", "two", "identical", 2, True),
    ],
)
def test_replacements_ask_whether_values_are_text_last(
    tool: str, path: Any, old: Any, new: Any, code: str, mistakes: int, recorded: bool
) -> None:
    files = {**FILES, "folder/x": "", ".rooignore": "x.key\n", "x.key": "k"}
    state = ClientState(files=dict(files), mistakes=1, included_tools=OPT_IN)
    arguments = json.dumps({"file_path": path, "old_string": old, "new_string": new})
    outcome = take_turn(state, Answer("", (ToolCall(tool, arguments),)))
    assert (outcome.calls[0].codes, state.mistakes, outcome.turn_failed) == ((code,), mistakes, False)
    name = "edit" if tool == "search_and_replace" else tool
    assert (outcome.failures, outcome.attempts) == ({name: 1} if recorded else {}, {name: 1})
    assert state.files == files


def test_replacements_that_succeed() -> None:
    assert (
        take("edit", file_path="a.txt", old_string="one", new_string="1", replace_all="true")[1].files["a.txt"]
        == "1\ntwo\n1\n"
    )
    assert (
        take("search_and_replace", file_path="a.txt", old_string="two", new_string="")[1].files["a.txt"]
        == "one\n\none\n"
    )
    assert (
        take("search_replace", file_path="crlf.txt", old_string="x\ny", new_string="z")[1].files["crlf.txt"] == "z\r\n"
    )
    assert (
        take("edit_file", file_path="a.txt", old_string="one", new_string="1", expected_replacements="2")[1].files[
            "a.txt"
        ]
        == "1\ntwo\n1\n"
    )
    assert take("edit_file", file_path="n.txt", old_string="", new_string="new")[1].files["n.txt"] == "new"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"file_path": "", "old_string": "a", "new_string": "b"}, "missing_param:file_path"),
        ({"file_path": "a.txt", "old_string": "", "new_string": "b"}, "file_exists"),
        ({"file_path": "gone", "old_string": "a", "new_string": "b"}, "file_not_found"),
        ({"file_path": "a.txt", "old_string": "two", "new_string": "two"}, "identical"),
        ({"file_path": "a.txt", "old_string": "zzz", "new_string": "b"}, "no_match"),
        ({"file_path": "a.txt", "old_string": "one", "new_string": "b"}, "count_mismatch"),
        (
            {"file_path": "a.txt", "old_string": "one", "new_string": "b", "expected_replacements": "x"},
            "count_mismatch",
        ),
    ],
)
def test_whatever_goes_wrong_with_edit_file_fails_the_turn(arguments: dict[str, Any], code: str) -> None:
    outcome, state = take("edit_file", **arguments)
    assert (outcome.calls[0].codes, outcome.turn_failed, state.mistakes) == ((code,), True, 2)
    assert (outcome.failures, state.files) == ({"edit_file": 1}, FILES)


def test_a_denied_edit_changes_nothing() -> None:
    for tool, arguments in (
        ("edit", {"file_path": "a.txt", "old_string": "two", "new_string": "2"}),
        ("apply_patch", {"patch": patch("*** Delete File: a.txt")}),
    ):
        outcome, state = take(tool, denied=frozenset((tool,)), **arguments)
        assert (outcome.calls[0].codes, state.files, state.mistakes) == (("denied_by_user",), FILES, 0)


def test_opt_in_tools_are_refused_unless_the_model_brings_them_in() -> None:
    state = ClientState(files=dict(FILES))
    arguments = json.dumps({"file_path": "a.txt", "old_string": "two", "new_string": "2"})
    outcome = take_turn(state, Answer("", (ToolCall("edit", arguments),)))
    assert outcome.calls[0].codes == ("not_allowed_in_mode",)


@pytest.mark.parametrize(
    ("tool", "arguments", "code"),
    [
        ("write_to_file", {"path": 5, "content": "x"}, "bad_path_value"),
        ("apply_diff", {"path": 5, "diff": "x"}, "bad_path_value"),
        ("apply_diff", {"path": "folder", "diff": "x"}, "is_directory"),
        ("edit", {"file_path": "folder", "old_string": "a", "new_string": "b"}, "is_directory"),
        ("edit_file", {"file_path": "folder", "old_string": "", "new_string": "b"}, "is_directory"),
        ("edit_file", {"file_path": 5, "old_string": "a", "new_string": "b"}, "bad_path_value"),
        ("apply_patch", {"patch": 5}, "bad_value"),
    ],
)
def test_edits_of_what_cannot_be_edited(tool: str, arguments: dict[str, Any], code: str) -> None:
    files = {**FILES, "folder/x": "", ".rooignore": "x.key\n"}
    state = ClientState(files=files, included_tools=OPT_IN)
    outcome = take_turn(state, Answer("", (ToolCall(tool, json.dumps(arguments)),)))
    assert outcome.calls[0].codes == (code,)


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("search_replace", {"file_path": "a.txt", "old_string": "two", "new_string": "$&"}),
        ("edit_file", {"file_path": "crlf.txt", "old_string": "y", "new_string": "y\n", "expected_replacements": 9}),
        ("apply_patch", {"patch": patch("*** Update File: a.txt", "@@", "-two", "+two")}),
    ],
)
def test_an_edit_that_changes_nothing_writes_nothing(tool: str, arguments: dict[str, Any]) -> None:
    outcome, state = take(tool, **arguments)
    assert state.files == FILES
    assert outcome.calls[0].verdict == "accepted" or outcome.calls[0].codes == ("count_mismatch",)


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("apply_diff", {"path": "far.txt", "diff": "x"}),
        ("edit", {"file_path": "far.txt", "old_string": "a", "new_string": "b"}),
        ("search_replace", {"file_path": "far.txt", "old_string": "a", "new_string": "b"}),
        ("edit_file", {"file_path": "far.txt", "old_string": "a", "new_string": "b"}),
    ],
)
def test_a_file_whose_text_is_not_known_is_changed_unseen(tool: str, arguments: dict[str, Any]) -> None:
    state = ClientState(paths=frozenset(("far.txt",)), included_tools=OPT_IN)
    outcome = take_turn(state, Answer("", (ToolCall(tool, json.dumps(arguments)),)))
    assert (outcome.calls[0].verdict, outcome.calls[0].reply) == ("accepted", "far.txt was changed.")
