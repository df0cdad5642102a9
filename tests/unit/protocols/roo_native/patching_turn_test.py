"""Calls of apply_patch: what becomes of the files, and of the client's counts."""

import json

import pytest

from services.protocols.roo_native.turn import take_turn
from services.protocols.turn import Answer, ClientState, ToolCall, TurnOutcome

FILES = {
    "a.txt": "one\ntwo\none\n",
    "b.txt": "b\n",
    "crlf.txt": "x\r\ny\r\n",
    "d/x": "q\n",
    ".rooignore": "hid/\n",
    "hid/x": "h\n",
}
CHANGE = ("@@", "-two", "+2")
NO_CHANGE = ("@@", " two")
CHANGED = "one\n2\none\n"


def patch(*lines: str) -> str:
    return "\n".join(("*** Begin Patch", *lines, "*** End Patch"))


def move(to: str, *hunk: str, path: str = "a.txt") -> tuple[str, ...]:
    return (f"*** Update File: {path}", f"*** Move to: {to}", *(hunk or CHANGE))


def take(
    *lines: str, mode: str = "code", denied: bool = False, text: str | None = None
) -> tuple[TurnOutcome, ClientState]:
    state = ClientState(mode=mode, files=dict(FILES), mistakes=1, included_tools=frozenset(("apply_patch",)))
    state.denied_tools = frozenset(("apply_patch",) if denied else ())
    arguments = json.dumps({"patch": patch(*lines) if text is None else text})
    return take_turn(state, Answer("", (ToolCall("apply_patch", arguments),))), state


def changed(state: ClientState) -> dict[str, str | None]:
    paths = {*FILES, *state.files}
    return {path: state.files.get(path) for path in paths if FILES.get(path) != state.files.get(path)}


def test_a_patch_adds_changes_moves_and_deletes() -> None:
    outcome, state = take("*** Add File: n.txt", "+new", *move("c/a.txt"), "*** Delete File: crlf.txt")
    assert (outcome.calls[0].verdict, outcome.calls[0].codes, outcome.calls[0].is_partial) == ("accepted", (), False)
    assert changed(state) == {"n.txt": "new\n", "a.txt": None, "c/a.txt": CHANGED, "crlf.txt": None}
    assert (state.mistakes, outcome.attempts, outcome.failures) == (0, {"apply_patch": 2}, {})


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "missing_param:patch"),
        ("x", "bad_patch"),
        (patch("*** Update File: a.txt", "@@", "-zzz"), "no_match"),
        (patch("*** Add File: n.txt", "+x", "*** Delete File: gone"), "file_not_found"),
        (patch("*** Update File: d", *CHANGE), "is_directory"),
    ],
)
def test_a_patch_that_cannot_be_read_or_placed_changes_nothing(text: str, code: str) -> None:
    outcome, state = take(text=text)
    assert (outcome.calls[0].codes, outcome.failures, outcome.turn_failed) == ((code,), {"apply_patch": 1}, False)
    assert (changed(state), state.mistakes, outcome.attempts) == ({}, 2, {"apply_patch": 1})


def test_a_patch_without_operations_is_an_error_that_counts_nowhere() -> None:
    outcome, state = take()
    assert (outcome.calls[0].verdict, outcome.failures, outcome.attempts) == ("failed", {}, {"apply_patch": 1})
    assert state.mistakes == 1


@pytest.mark.parametrize("path", ["a.txt", "./a.txt", "d"])
def test_a_file_that_exists_is_not_added_but_the_rest_of_the_patch_is_done(path: str) -> None:
    outcome, state = take(f"*** Add File: {path}", "+x", "*** Add File: n.txt", "+x")
    assert (outcome.calls[0].verdict, outcome.calls[0].codes) == ("failed", ("file_exists",))
    assert changed(state) == {"n.txt": "x\n"}
    assert (outcome.failures, outcome.attempts, state.mistakes) == ({"apply_patch": 1}, {"apply_patch": 2}, 0)


def test_the_first_operation_is_the_one_that_is_answered() -> None:
    outcome, state = take("*** Delete File: a.txt", "*** Delete File: a.txt", "*** Delete File: ./a.txt")
    (call,) = outcome.calls
    assert (call.verdict, call.codes, call.is_partial) == ("accepted", (), True)
    assert call.reply == "a.txt was deleted."
    assert (outcome.failures, outcome.attempts, state.mistakes) == ({"apply_patch": 2}, {"apply_patch": 2}, 0)


PROTECTED = (
    *(".rooprotected", ".roomodes", ".roorules", ".roorules-code", ".clinerules", ".clinerules/a.md", ".roo/x/y"),
    *(
        ".vscode/settings.json",
        "x.code-workspace",
        "AGENTS.md",
        "agents.md",
        "sub/AGENT.md",
        "sub/.roomodes",
        "./AGENT.md",
    ),
    *("sub/x.code-workspace", "AGENTS.md/x", "sub/../.roo/rules.md"),
)
FREE = (
    "AGENTS.md.txt",
    "sub/.roo/x",
    "sub/.vscode/x",
    ".roo",
    "x.code-workspaces",
    "MY-AGENTS.md",
    "roorules",
    ".vscode",
)


@pytest.mark.parametrize("place", PROTECTED)
def test_nothing_is_moved_to_the_clients_own_files(place: str) -> None:
    outcome, state = take(*move(place), "*** Add File: n.txt", "+x")
    assert (outcome.calls[0].verdict, outcome.calls[0].codes) == ("failed", ("write_protected",))
    assert changed(state) == {"n.txt": "x\n"}
    assert (outcome.failures, outcome.attempts, state.mistakes) == ({"apply_patch": 1}, {"apply_patch": 2}, 0)


@pytest.mark.parametrize("place", FREE)
def test_other_places_are_free(place: str) -> None:
    outcome, state = take(*move(place))
    assert (outcome.calls[0].codes, changed(state)) == ((), {"a.txt": None, place: CHANGED})


def test_the_clients_own_files_may_be_written_where_they_are() -> None:
    outcome, state = take("*** Add File: AGENTS.md", "+x", "*** Add File: .roo/rules.md", "+x")
    assert (outcome.calls[0].codes, outcome.calls[0].is_partial) == ((), False)
    assert changed(state) == {"AGENTS.md": "x\n", ".roo/rules.md": "x\n"}


def test_a_move_to_a_hidden_place_ends_that_operation_only() -> None:
    for place in ("hid/y", ".rooignore", "./hid/y"):
        outcome, state = take(*move(place), "*** Delete File: b.txt")
        assert (outcome.calls[0].codes, changed(state)) == (("ignored_file",), {"b.txt": None})
        assert (outcome.failures, outcome.attempts, state.mistakes) == ({}, {"apply_patch": 2}, 0)


def test_an_operation_on_a_hidden_file_ends_the_patch() -> None:
    outcome, state = take("*** Delete File: b.txt", "*** Update File: hid/x", "@@", "-h", "*** Add File: n.txt", "+x")
    assert (outcome.calls[0].codes, outcome.calls[0].is_partial, changed(state)) == ((), True, {"b.txt": None})
    assert (outcome.failures, outcome.attempts, state.mistakes) == ({}, {"apply_patch": 1}, 1)
    outcome, state = take(*["*** Add File: a.txt", "+x"] * 2, "*** Add File: hid/y", "+x", "*** Add File: n.txt", "+x")
    assert (outcome.calls[0].codes, changed(state)) == (("file_exists",), {})
    assert (outcome.failures, outcome.attempts, state.mistakes) == ({"apply_patch": 2}, {"apply_patch": 1}, 3)


@pytest.mark.parametrize("place", ["n.txt", "AGENTS.md", "hid/y", "../x", "d", "a.txt"])
def test_a_move_without_a_change_of_text_does_nothing(place: str) -> None:
    outcome, state = take(*move(place, *NO_CHANGE))
    assert (outcome.calls[0].verdict, outcome.calls[0].codes, changed(state)) == ("accepted", (), {})
    assert (outcome.failures, outcome.attempts, state.mistakes) == ({}, {"apply_patch": 2}, 0)


def test_a_line_break_at_the_end_is_a_change_of_text() -> None:
    state = ClientState(files={"a.txt": "one\ntwo"}, included_tools=frozenset(("apply_patch",)))
    arguments = json.dumps({"patch": patch(*move("n.txt", *NO_CHANGE))})
    take_turn(state, Answer("", (ToolCall("apply_patch", arguments),)))
    assert state.files == {"n.txt": "one\ntwo\n"}


@pytest.mark.parametrize("place", ["a.txt", "./a.txt", "d/../a.txt", "a.txt/"])
def test_a_file_moved_onto_itself_is_gone(place: str) -> None:
    outcome, state = take(*move(place))
    assert (outcome.calls[0].verdict, changed(state)) == ("accepted", {"a.txt": None})


def test_a_move_to_no_place_is_a_change_where_the_file_is() -> None:
    outcome, state = take(*move(""))
    assert (outcome.calls[0].verdict, changed(state)) == ("accepted", {"a.txt": CHANGED})


def test_a_move_replaces_the_file_that_is_there() -> None:
    assert changed(take(*move("b.txt"))[1]) == {"a.txt": None, "b.txt": CHANGED}


def test_a_moved_file_is_no_longer_where_it_was() -> None:
    outcome, state = take(*move("n.txt"), *move("m.txt"))
    assert (outcome.calls[0].codes, outcome.calls[0].is_partial) == ((), True)
    assert changed(state) == {"a.txt": None, "n.txt": CHANGED}
    assert outcome.failures == {"apply_patch": 1}


def test_a_move_out_of_the_workspace_is_refused() -> None:
    outcome, state = take(*move("../x"))
    assert (outcome.calls[0].codes, changed(state), outcome.failures) == (("bad_path_value",), {}, {"apply_patch": 1})


def test_a_move_onto_a_folder_breaks_the_patch_off() -> None:
    outcome, state = take(*move("d"), "*** Delete File: b.txt")
    assert (outcome.calls[0].codes, changed(state)) == (("is_directory",), {})
    assert (outcome.failures, outcome.attempts, state.mistakes) == ({}, {"apply_patch": 1}, 1)


def test_a_denied_patch_changes_nothing_wherever_it_would_move() -> None:
    for lines in (("*** Delete File: a.txt",), move("AGENTS.md"), move("hid/y"), move("d")):
        outcome, state = take(*lines, denied=True)
        assert (outcome.calls[0].codes, changed(state), state.mistakes) == (("denied_by_user",), {}, 0)


def test_a_patch_may_not_touch_files_that_the_mode_forbids() -> None:
    outcome, state = take("*** Add File: ok.md", "+x", "*** Delete File: a.txt", mode="architect")
    assert (outcome.calls[0].codes, changed(state), state.mistakes) == (("file_pattern",), {}, 2)
    assert (outcome.attempts, outcome.failures) == ({"apply_patch": 1}, {})
