"""Calls that look at the workspace."""

import pytest

from services.protocols.roo_xml.turn import take_turn
from services.protocols.turn import Answer, CallOutcome, ClientState, TurnOutcome

FILES = {"src/a.py": "one\ntwo\nthree\n", "src/b.py": "four", "secret/k.txt": "k\n", "empty.txt": ""}
IGNORING = {**FILES, ".rooignore": "secret\n"}


def turn(text: str, state: ClientState) -> TurnOutcome:
    return take_turn(state, Answer(text))


def read(*files: str, state: ClientState | None = None) -> tuple[CallOutcome, TurnOutcome]:
    inside = "".join(f"<file>{entry if entry.startswith('<') else f'<path>{entry}</path>'}</file>" for entry in files)
    text = f"<read_file><args>{inside}</args></read_file>"
    outcome = turn(text, state or ClientState(files=dict(FILES), mistakes=1))
    return outcome.calls[0], outcome


def ranged(path: str, *ranges: str) -> str:
    return f"<path>{path}</path>" + "".join(f"<line_range>{one}</line_range>" for one in ranges)


def test_files_are_delivered_with_numbered_lines() -> None:
    call, outcome = read("src/a.py", "./src/b.py")
    assert call.reply == (
        '<files>\n<file><path>src/a.py</path>\n<content lines="1-3">\n'
        "1 | one\n2 | two\n3 | three\n</content>\n</file>\n"
        '<file><path>./src/b.py</path>\n<content lines="1-1">\n1 | four\n</content>\n</file>\n</files>'
    )
    assert (call.verdict, call.codes, outcome.turn_failed) == ("accepted", (), False)


def test_ranges_are_delivered_in_their_order() -> None:
    call, _ = read(ranged("src/a.py", "3-9", "1-2"))
    assert '<content lines="3-3">\n3 | three\n</content>\n<content lines="1-2">\n1 | one\n2 | two\n' in call.reply


def test_an_empty_file_says_so() -> None:
    assert "<content/><notice>" in read("empty.txt")[0].reply


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ("nope.py", "file_not_found"),
        ("src/a.py/b", "file_not_found"),
        ("src", "is_directory"),
        (".", "is_directory"),
        (ranged("src/a.py", "3-2"), "bad_range"),
        (ranged("nope.py", "3-2"), "bad_range"),
        (ranged("src/a.py", "4-9"), "range_beyond_end"),
        (ranged("src/b.py", "1-1", "2-2"), "range_beyond_end"),
        (ranged("empty.txt", "1-1"), "range_beyond_end"),
        ('<path x="1">src/a.py</path>', "bad_path_value"),
        ("<path>src/a.py</path><path>src/b.py</path>", "bad_path_value"),
    ],
)
def test_a_file_that_cannot_be_read_fails_the_turn_without_a_mistake(entry: str, code: str) -> None:
    state = ClientState(files=dict(FILES), mistakes=1)
    call, outcome = read(entry, state=state)
    assert (call.verdict, call.codes) == ("failed", (code,))
    assert (outcome.turn_failed, dict(outcome.failures), state.mistakes) == (True, {}, 1)
    assert "<error>" in call.reply


@pytest.mark.parametrize("bounds", ["0-0", "0-2", "1-900", "3-3"])
def test_a_range_is_only_checked_where_it_begins(bounds: str) -> None:
    assert read(ranged("src/a.py", bounds))[0].codes == ()


@pytest.mark.parametrize("bounds", ["2", "2..3", "all"])
def test_a_range_that_is_none_is_dropped(bounds: str) -> None:
    assert read(ranged("src/a.py", bounds))[0].codes == ()


def test_one_delivered_file_is_enough_and_each_other_leaves_its_remark() -> None:
    state = ClientState(files=dict(IGNORING))
    call, outcome = read("secret/k.txt", "src/a.py", "src", "nope", state=state)
    assert (call.verdict, call.codes) == ("accepted", ("ignored_file", "is_directory", "file_not_found"))
    assert outcome.turn_failed


def test_a_path_that_is_no_text_blocks_the_other_files_too() -> None:
    call, outcome = read("src/a.py", '<path x="1">src/b.py</path>')
    assert (call.verdict, call.codes, outcome.turn_failed) == ("failed", ("bad_path_value",), True)


def test_the_same_file_twice_is_delivered_once() -> None:
    call, _ = read("src/a.py", "src/a.py")
    assert (call.codes, call.reply.count("<content")) == ((), 1)
    assert read("nope", "nope")[0].codes == ("file_not_found",)


def test_what_a_later_entry_finds_is_noted_at_the_first_one_of_its_path() -> None:
    call, outcome = read("src/a.py", ranged("src/a.py", "3-1"))
    assert (call.verdict, call.codes, outcome.turn_failed) == ("accepted", (), False)


@pytest.mark.parametrize("args", ["", " ", "<file></file>", "{}", "<path>src/a.py</path>", "<file>src/a.py</file>"])
def test_no_usable_file_is_a_mistake_that_does_not_fail_the_turn(args: str) -> None:
    state = ClientState(files=dict(FILES), mistakes=1)
    outcome = turn(f"<read_file><args>{args}</args></read_file>", state)
    assert outcome.calls[0].codes == ("missing_param:args",)
    assert (state.mistakes, outcome.turn_failed, dict(outcome.failures)) == (2, False, {"read_file": 1})
    assert outcome.calls[0].reply.startswith("<files>\n")


def test_args_that_are_no_xml_are_an_error_that_counts_nowhere() -> None:
    state = ClientState(files=dict(FILES), mistakes=1)
    outcome = turn("<read_file><args><file><path>src/a.py</path></fil</args></read_file>", state)
    assert outcome.calls[0].codes == ("args_xml",)
    assert (state.mistakes, outcome.turn_failed, dict(outcome.failures)) == (1, False, {})


def test_a_path_directly_under_the_tool_is_read_with_both_ends_of_a_range_or_none() -> None:
    inside = "<path>src/a.py</path><start_line>2</start_line>"
    state = ClientState(files=dict(FILES))
    both = turn(f"<read_file>{inside}<end_line>2</end_line></read_file>", state).calls[0].reply
    one = turn(f"<read_file>{inside}</read_file>", state).calls[0].reply
    assert ("2 | two" in both, "1 | one" in both, "1 | one" in one) == (True, False, True)


def test_a_file_whose_text_is_not_known_can_be_read_all_the_same() -> None:
    call, _ = read("lib/x.py", state=ClientState(paths=frozenset(("lib/x.py",))))
    assert (call.verdict, call.codes) == ("accepted", ())
    assert read("lib", state=ClientState(paths=frozenset(("lib/x.py",))))[0].codes == ("is_directory",)


def test_a_denied_read_says_so_for_each_file() -> None:
    state = ClientState(files=dict(IGNORING), denied_tools=frozenset(("read_file",)))
    call, outcome = read("src/a.py", "secret/k.txt", state=state)
    assert (call.verdict, call.codes) == ("accepted", ("denied_by_user", "ignored_file"))
    assert (call.reply.count("<status>"), outcome.turn_failed) == (1, True)


@pytest.mark.parametrize(
    ("call", "lacking"),
    [
        ("<list_files></list_files>", "path"),
        ("<search_files><path>a</path></search_files>", "regex"),
        ("<search_files><regex>a</regex></search_files>", "path"),
        ("<fetch_instructions></fetch_instructions>", "task"),
    ],
)
def test_a_missing_parameter_of_these_fails_the_turn(call: str, lacking: str) -> None:
    state = ClientState()
    outcome = turn(call, state)
    tool = outcome.calls[0].tool
    assert outcome.calls[0].codes == (f"missing_param:{lacking}",)
    assert (state.mistakes, outcome.turn_failed, dict(outcome.failures)) == (1, True, {tool: 1})
    assert f"<{tool}>" in outcome.calls[0].reply


def test_an_index_search_without_a_query_is_a_mistake_that_is_not_recorded() -> None:
    state = ClientState()
    outcome = turn("<codebase_search><path>a</path></codebase_search>", state)
    assert (state.mistakes, outcome.turn_failed, dict(outcome.failures)) == (1, True, {})
    assert turn("<codebase_search><query>a</query></codebase_search>", state).calls[0].verdict == "accepted"
    assert state.mistakes == 0


def test_a_value_cut_off_by_the_end_counts_as_present_even_if_blank() -> None:
    assert turn("<list_files><path>\n", ClientState()).calls[0].verdict == "accepted"
    assert turn("<list_files><path>", ClientState()).calls[0].codes == ("missing_param:path",)


@pytest.mark.parametrize(("value", "deep"), [("true", True), ("TRUE", True), ("yes", False), ("", False)])
def test_a_listing_is_recursive_only_for_true(value: str, deep: bool) -> None:
    state = ClientState(files=dict(FILES), mistakes=2)
    text = f"<list_files><path>.</path><recursive>{value}</recursive></list_files>"
    reply = turn(text, state).calls[0].reply
    assert ("src/a.py" in reply.split("\n")) is deep
    assert "src/" in reply.split("\n")
    assert state.mistakes == 0


def test_a_search_shows_lines_and_a_bad_expression_is_answered_with_an_error() -> None:
    state = ClientState(files=dict(FILES))
    good = turn("<search_files><path>.</path><regex>t(wo|hree)</regex></search_files>", state).calls[0]
    bad = turn("<search_files><path>.</path><regex>(</regex></search_files>", state).calls[0]
    assert good.reply.startswith("Found 2 results.\n\n# src/a.py\n  1 | one\n  2 | two\n  3 | three\n----")
    assert (bad.verdict, "<error>" in bad.reply) == ("accepted", True)


@pytest.mark.parametrize(
    ("task", "codes"), [("create_mode", ()), ("create_mcp_server", ()), ("bake", ("unknown_instruction",))]
)
def test_only_two_instructions_exist_and_asking_for_another_is_no_mistake(task: str, codes: tuple[str, ...]) -> None:
    state = ClientState(mistakes=2)
    outcome = turn(f"<fetch_instructions><task>{task}</task></fetch_instructions>", state)
    assert outcome.calls[0].codes == codes
    assert (state.mistakes, outcome.turn_failed, dict(outcome.failures)) == (0, False, {})
