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


def test_a_patch_adds_changes_moves_and_deletes() -> None:
    text = patch(
        *("*** Add File: n.txt", "+new"),
        *("*** Update File: a.txt", "*** Move to: b/a.txt", "@@", "-two", "+2"),
        *("*** Delete File: crlf.txt",),
    )
    outcome, state = take("apply_patch", patch=text)
    assert outcome.calls[0].verdict == "accepted"
    assert state.files == {"n.txt": "new\n", "b/a.txt": "one\n2\none\n"}
    assert state.mistakes == 0


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "missing_param:patch"),
        ("x", "bad_patch"),
        (patch("*** Update File: a.txt", "@@", "-zzz"), "no_match"),
        (patch("*** Add File: n.txt", "+x", "*** Delete File: gone"), "file_not_found"),
    ],
)
def test_a_patch_that_cannot_be_read_or_placed_changes_nothing(text: str, code: str) -> None:
    outcome, state = take("apply_patch", patch=text)
    assert (outcome.calls[0].codes, outcome.failures, outcome.turn_failed) == ((code,), {"apply_patch": 1}, False)
    assert (state.files, state.mistakes) == (FILES, 2)


def test_a_patch_without_operations_is_an_error_that_counts_nowhere() -> None:
    outcome, state = take("apply_patch", patch=patch())
    assert (outcome.calls[0].verdict, outcome.failures, state.mistakes) == ("failed", {}, 1)


def test_a_file_that_exists_is_not_added_but_the_rest_of_the_patch_is_done() -> None:
    outcome, state = take("apply_patch", patch=patch("*** Add File: a.txt", "+x", "*** Add File: n.txt", "+x"))
    assert outcome.calls[0].codes == ("some_parts_failed",)
    assert (state.files["a.txt"], state.files["n.txt"]) == (FILES["a.txt"], "x\n")
    assert outcome.failures == {"apply_patch": 1}


def test_a_move_out_of_the_workspace_is_refused() -> None:
    outcome, state = take("apply_patch", patch=patch("*** Update File: a.txt", "*** Move to: ../x", "@@", "-two"))
    assert (outcome.calls[0].codes, state.files) == (("bad_path_value",), FILES)


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


def test_a_patch_may_not_touch_files_that_the_mode_forbids() -> None:
    state = ClientState(mode="architect", files=dict(FILES), included_tools=OPT_IN)
    text = patch("*** Add File: ok.md", "+x", "*** Delete File: a.txt")
    outcome = take_turn(state, Answer("", (ToolCall("apply_patch", json.dumps({"patch": text})),)))
    assert (outcome.calls[0].codes, state.files) == (("file_pattern",), FILES)


@pytest.mark.parametrize(
    ("tool", "arguments", "code"),
    [
        ("write_to_file", {"path": 5, "content": "x"}, "bad_path_value"),
        ("apply_diff", {"path": 5, "diff": "x"}, "bad_path_value"),
        ("apply_diff", {"path": "folder", "diff": "x"}, "is_directory"),
        ("edit", {"file_path": "folder", "old_string": "a", "new_string": "b"}, "is_directory"),
        ("edit_file", {"file_path": "folder", "old_string": "", "new_string": "b"}, "is_directory"),
        ("edit_file", {"file_path": 5, "old_string": "a", "new_string": "b"}, "bad_value"),
        ("apply_patch", {"patch": 5}, "bad_value"),
        ("apply_patch", {"patch": patch("*** Delete File: a.txt", "*** Delete File: a.txt")}, "some_parts_failed"),
        (
            "apply_patch",
            {"patch": patch("*** Update File: a.txt", "*** Move to: .rooignore", "@@", "-two")},
            "ignored_file",
        ),
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
        ("edit_file", {"file_path": "far.txt", "old_string": "a", "new_string": "b"}),
    ],
)
def test_a_file_whose_text_is_not_known_is_changed_unseen(tool: str, arguments: dict[str, Any]) -> None:
    state = ClientState(paths=frozenset(("far.txt",)), included_tools=OPT_IN)
    outcome = take_turn(state, Answer("", (ToolCall(tool, json.dumps(arguments)),)))
    assert (outcome.calls[0].verdict, outcome.calls[0].reply) == ("accepted", "far.txt was changed.")
