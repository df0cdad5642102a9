"""Calls that change files."""

import pytest

from services.protocols.roo_xml.turn import take_turn
from services.protocols.turn import Answer, ClientState, TurnOutcome

FILES = {"src/a.py": "one\n  two\nthree\n", ".rooignore": "secret/\n*.key\n", "secret/k.txt": "k\n"}


def fresh(**fields: object) -> ClientState:
    return ClientState(files=dict(FILES), mistakes=1, **fields)  # type: ignore[arg-type]


def turn(text: str, state: ClientState) -> TurnOutcome:
    return take_turn(state, Answer(text))


def write(path: str, content: str, state: ClientState) -> TurnOutcome:
    return turn(f"<write_to_file><path>{path}</path><content>{content}</content></write_to_file>", state)


def block(search: str, replace: str, line: int = 1) -> str:
    return f"<<<<<<< SEARCH\n:start_line:{line}\n-------\n{search}\n=======\n{replace}\n>>>>>>> REPLACE"


def diff(path: str, value: str, state: ClientState) -> TurnOutcome:
    return turn(f"<apply_diff><path>{path}</path><diff>\n{value}\n</diff></apply_diff>", state)


def test_a_written_file_is_in_the_workspace_and_the_reply_says_how() -> None:
    state = fresh()
    created, modified = write("new/b.py", "\nx\n", state), write("./src//a.py", "\ny\n", state)
    assert (state.files["new/b.py"], state.files["src/a.py"], state.mistakes) == ("x", "y", 0)
    assert "<path>new/b.py</path>\n<operation>created</operation>" in created.calls[0].reply
    assert "<path>src/a.py</path>\n<operation>modified</operation>" in modified.calls[0].reply
    assert created.calls[0].reply.startswith("<file_write_result>\n")


@pytest.mark.parametrize(
    ("content", "model_id", "written"),
    [
        ("\n```py\nx\n```\n", "m", "x"),
        ("a &lt; b", "m", "a < b"),
        ("a &lt; b", "x/claude-y", "a &lt; b"),
        ("a &lt; b", "Claude", "a < b"),
        ("&amp;amp;lt;", "m", "&amp;lt;"),
        ("1 | a\n2 | b", "m", "a\nb"),
        ("1 | a\nb", "m", "1 | a\nb"),
        ("a\r\nb\r\n", "m", "a\r\nb\r"),
        ("<content>x</content>", "m", "<content>x</content>"),
    ],
)
def test_content_is_tidied_before_it_is_written(content: str, model_id: str, written: str) -> None:
    state = fresh(model_id=model_id)
    write("n.txt", content, state)
    assert state.files["n.txt"] == written


def test_absent_content_writes_an_empty_file() -> None:
    state = fresh()
    assert turn("<write_to_file><path>src/a.py</path></write_to_file>", state).calls[0].verdict == "accepted"
    assert state.files["src/a.py"] == ""


def test_a_path_that_is_cut_off_is_taken_as_it_stands() -> None:
    state = fresh()
    turn("<write_to_file>\n<path>src/long_na", state)
    assert state.files["src/long_na"] == ""


def test_a_folder_cannot_be_written_nor_changed() -> None:
    state = fresh()
    written = write("src", "x", state)
    assert (written.calls[0].codes, state.mistakes) == (("is_directory",), 0)
    state = fresh()
    changed = diff("src", block("a", "b"), state)
    assert (changed.calls[0].codes, state.mistakes, dict(changed.failures)) == (("is_directory",), 1, {})


@pytest.mark.parametrize("path", ["secret/new.txt", "./secret/k.txt", "src/my.KEY", ".rooignore"])
def test_hidden_files_stay_as_they_are_and_nothing_is_counted(path: str) -> None:
    for outcome, state in ((write(path, "x", state), state) for state in (fresh(),)):
        assert (outcome.calls[0].verdict, outcome.calls[0].codes) == ("failed", ("ignored_file",))
        assert (state.files, state.mistakes, outcome.turn_failed) == (FILES, 1, False)
    state = fresh()
    outcome = diff(path, block("k", "j"), state)
    assert (outcome.calls[0].codes, state.mistakes, dict(outcome.failures)) == (("ignored_file",), 1, {})


def test_an_empty_rooignore_hides_nothing_not_even_itself() -> None:
    state = ClientState(files={".rooignore": ""})
    write(".rooignore", "x", state)
    assert state.files == {".rooignore": "x"}


def test_a_new_rooignore_holds_from_the_next_call_on() -> None:
    state = ClientState()
    write(".rooignore", "*.md", state)
    assert write("a.md", "x", state).calls[0].codes == ("ignored_file",)


@pytest.mark.parametrize(("tool", "lacking"), [("write_to_file", "path"), ("apply_diff", "path")])
def test_a_missing_path_is_a_recorded_mistake_that_does_not_fail_the_turn(tool: str, lacking: str) -> None:
    state = fresh()
    outcome = turn(f"<{tool}><content>x</content><diff>y</diff></{tool}>", state)
    assert outcome.calls[0].codes == (f"missing_param:{lacking}",)
    assert (state.mistakes, outcome.turn_failed, dict(outcome.failures)) == (2, False, {tool: 1})


def test_a_diff_changes_the_file_and_resets_the_counter() -> None:
    state = fresh()
    outcome = diff("src/a.py", block("  two", "  2", 2), state)
    assert (state.files["src/a.py"], state.mistakes, outcome.calls[0].codes) == ("one\n  2\nthree\n", 0, ())
    assert "<notice>Several changes" in outcome.calls[0].reply


def test_some_failed_blocks_are_only_mentioned() -> None:
    state = fresh()
    outcome = diff("src/a.py", block("one", "1") + "\n" + block("nowhere", "x"), state)
    assert (state.files["src/a.py"], state.mistakes) == ("1\n  two\nthree\n", 0)
    assert (outcome.calls[0].verdict, outcome.calls[0].codes) == ("accepted", ("some_parts_failed",))
    assert (dict(outcome.failures), "Some blocks did not fit" in outcome.calls[0].reply) == ({}, True)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (block("nowhere", "x"), "no_match"),
        (block("one", "one"), "identical"),
        (block("", "x"), "empty_search"),
        ("nothing", "no_block"),
        ("<<<<<<< SEARCH\none", "unfinished_block"),
        (block("one", "x") + "\n=======", "stray_marker"),
        ("=======\n" + block("one", "x"), "stray_marker"),
        (block("one", ":start_line:3"), "line_marker_in_replace"),
        (block("one", "one") + "\n" + block("nowhere", "x"), "no_match"),
        (block("nowhere", "x", 1) + "\n" + block("one", "one", 2), "identical"),
    ],
)
def test_a_diff_that_changes_nothing_is_a_recorded_mistake(value: str, code: str) -> None:
    state = fresh()
    outcome = diff("src/a.py", value, state)
    assert (outcome.calls[0].verdict, outcome.calls[0].codes) == ("failed", (code,))
    assert (state.files, state.mistakes, outcome.turn_failed) == (FILES, 2, False)
    assert dict(outcome.failures) == {"apply_diff": 1}
    assert "<error_details>" in outcome.calls[0].reply


def test_the_reply_to_a_diff_without_a_match_tells_the_best_place() -> None:
    reply = diff("src/a.py", block("thrxe", "x", 3), fresh()).calls[0].reply
    assert "80 % alike" in reply
    assert "3 | three" in reply


def test_a_diff_of_a_file_that_does_not_exist_fails_the_turn() -> None:
    state = fresh()
    outcome = diff("gone.py", block("a", "b"), state)
    assert outcome.calls[0].codes == ("file_not_found",)
    assert (state.mistakes, outcome.turn_failed, dict(outcome.failures)) == (2, True, {"apply_diff": 1})


def test_a_diff_of_a_file_whose_text_is_not_known_is_accepted() -> None:
    state = ClientState(paths=frozenset(("a.py",)))
    assert diff("a.py", block("a", "b"), state).calls[0].verdict == "accepted"
    assert state.files == {}


def test_a_diff_keeps_entities_only_for_models_that_are_taken_literally() -> None:
    files = {"e.js": "a < b\n"}
    state = ClientState(files=dict(files))
    assert diff("e.js", block("a &lt; b", "c"), state).calls[0].verdict == "accepted"
    state = ClientState(files=dict(files), model_id="claude")
    assert diff("e.js", block("a &lt; b", "c"), state).calls[0].codes == ("no_match",)


def test_a_diff_that_is_cut_off_is_not_trimmed() -> None:
    state = fresh()
    text = f"<apply_diff><path>src/a.py</path><diff>\n{block('one', '1')}  "
    assert turn(text, state).calls[0].codes == ("no_block",)
    assert turn(text[:-2], state).calls[0].codes == ()


def test_a_diff_keeps_the_line_ends_of_a_file() -> None:
    state = ClientState(files={"w.txt": "one\r\ntwo\r\n"})
    diff("w.txt", block("two", "2\n3", 2), state)
    assert state.files["w.txt"] == "one\r\n2\r\n3\r\n"


def test_a_lower_threshold_lets_less_similar_blocks_in() -> None:
    state = fresh(fuzzy_threshold=0.7)
    assert diff("src/a.py", block("thrxe", "3", 3), state).calls[0].codes == ()
    assert state.files["src/a.py"] == "one\n  two\n3\n"


def test_what_the_user_denies_is_not_done() -> None:
    state = fresh(denied_tools=frozenset(("write_to_file", "apply_diff", "update_todo_list", "switch_mode")))
    outcomes = [
        write("src/a.py", "x", state),
        diff("src/a.py", block("one", "1"), state),
        turn("<update_todo_list><todos>[ ] a</todos></update_todo_list>", state),
        turn("<switch_mode><mode_slug>ask</mode_slug></switch_mode>", state),
    ]
    assert {outcome.calls[0].codes for outcome in outcomes} == {("denied_by_user",)}
    assert (state.files, state.todos, state.mode) == (FILES, None, "code")


@pytest.mark.parametrize("tool", ["generate_image", "run_slash_command"])
def test_experiments_are_off_and_their_parameters_are_not_looked_at(tool: str) -> None:
    state = fresh()
    outcome = turn(f"<{tool}></{tool}>", state)
    assert outcome.calls[0].codes == ("experiment_off",)
    assert (state.mistakes, outcome.turn_failed, dict(outcome.failures)) == (1, False, {})
