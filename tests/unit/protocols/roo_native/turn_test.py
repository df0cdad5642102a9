import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.protocols.cases import McpServer
from services.protocols.roo_native.tools import TOOLS
from services.protocols.roo_native.turn import take_turn
from services.protocols.turn import Answer, ClientState, ToolCall, TurnOutcome

FILES = {"a.txt": "one\ntwo\n", "d/x.py": "x = 1\n"}
BAD = "{bad"


def call(name: str, **arguments: Any) -> ToolCall:
    return ToolCall(name, json.dumps(arguments))


def new_state(**changes: Any) -> ClientState:
    defaults: dict[str, Any] = {"files": dict(FILES), "mcp": (McpServer("my srv", ("get_it", "other")),), "mistakes": 1}
    return ClientState(**{**defaults, **changes})


def take(state: ClientState, *calls: ToolCall) -> TurnOutcome:
    return take_turn(state, Answer("", calls))


def codes(outcome: TurnOutcome) -> list[tuple[str, ...]]:
    return [(one.verdict, *one.codes) for one in outcome.calls]


def only(state: ClientState, one: ToolCall) -> tuple[tuple[str, ...], TurnOutcome]:
    outcome = take(state, one)
    return codes(outcome)[0], outcome


READ = call("read_file", path="a.txt")
COMPLETE = call("attempt_completion", result="Done.")


def test_the_first_answer_without_a_call_is_borne_and_the_second_is_a_mistake() -> None:
    state = new_state(mistakes=0)
    counts = []
    for text in ("Hello.", "", "Hello again.", "<read_file></read_file>"):
        outcome = take_turn(state, Answer(text))
        assert not outcome.used_tool
        counts.append((outcome.codes, state.mistakes))
    assert counts == [(("no_tool",), 0), (("empty_answer",), 0), (("no_tool",), 1), (("no_tool",), 2)]
    take(state, READ)
    take_turn(state, Answer("And again."))
    assert state.mistakes == 2


def test_a_refused_call_follows_the_mode_that_an_earlier_call_switched_to() -> None:
    state = new_state()
    outcome = take(
        state, call("switch_mode", mode_slug="ask", reason=""), call("write_to_file", path="n", content="x"), READ
    )
    assert codes(outcome) == [("accepted",), ("failed", "not_allowed_in_mode"), ("accepted",)]
    assert (state.mode, state.mistakes, dict(state.files)) == ("ask", 1, FILES)


def test_calls_behind_a_denial_are_skipped_whatever_they_are() -> None:
    state = new_state(denied_tools=frozenset(("write_to_file", "use_mcp_tool")))
    outcome = take(state, READ, call("write_to_file", path="n", content="x"), ToolCall("zzz", BAD), COMPLETE)
    assert codes(outcome) == [
        ("accepted",),
        ("accepted", "denied_by_user"),
        ("skipped", "after_denial"),
        ("skipped", "after_denial"),
    ]
    assert outcome.attempts == {"read_file": 1, "write_to_file": 1}
    assert (state.mistakes, outcome.completed, dict(state.files)) == (0, None, FILES)
    assert codes(take(state, call("mcp--my_srv--other"))) == [("accepted", "denied_by_user")]


@pytest.mark.parametrize("task", [call("new_task", mode="code", message="m"), ToolCall("new_task", BAD)])
def test_calls_behind_new_task_are_dropped_whatever_came_of_it(task: ToolCall) -> None:
    state = new_state()
    outcome = take(state, READ, task, READ, call("new_task", mode="code", message="m"))
    assert [one.codes for one in outcome.calls][2:] == [("after_new_task",)] * 2
    assert "new_task" not in outcome.attempts or outcome.attempts["new_task"] == 1


def test_a_failed_turn_refuses_completion_and_a_mere_mistake_does_not() -> None:
    refused = take(new_state(), call("read_file", path="gone"), COMPLETE)
    assert codes(refused)[1] == ("failed", "tool_failed_before_completion")
    assert (refused.completed, refused.failures) == (None, {})
    taken = take(new_state(), call("apply_diff", path="a.txt", diff="x"), ToolCall("zzz", ""), COMPLETE)
    assert (codes(taken)[2], taken.completed) == (("accepted",), "Done.")


def test_a_completion_that_is_no_text_is_told_as_json() -> None:
    assert take(new_state(), call("attempt_completion", result={"a": 1})).completed == '{"a":1}'


def test_the_fourth_identical_call_is_refused_across_turns_and_counting_starts_anew() -> None:
    state = new_state()
    found = [code for _ in range(3) for code in codes(take(state, READ, READ))]
    assert found == [("accepted",)] * 3 + [("failed", "repeated_call")] + [("accepted",)] * 2


def test_servers_functions_and_unreadable_calls_do_not_touch_the_repetition_check() -> None:
    state = new_state()
    server = call("mcp--my_srv--other")
    assert codes(take(state, *[server] * 5)) == [("accepted",)] * 5
    found = codes(take(state, READ, server, READ, ToolCall("read_file", BAD), READ, READ))
    assert found[-1] == ("failed", "repeated_call")


def test_a_refusal_by_the_mode_does_not_count_as_a_repetition() -> None:
    state = new_state(mode="ask")
    write = call("write_to_file", path="n", content="x")
    assert codes(take(state, *[write] * 5)) == [("failed", "not_allowed_in_mode")] * 5
    assert state.mistakes == 6


def test_without_a_limit_nothing_is_repeated_too_often() -> None:
    assert codes(take(new_state(mistake_limit=0), *[READ] * 9)) == [("accepted",)] * 9


def test_an_empty_content_is_no_edit_for_the_path_pattern() -> None:
    state = new_state(mode="architect")
    assert only(state, call("write_to_file", path="n.py", content=""))[0] == ("accepted",)
    assert only(state, call("write_to_file", path="n.py", content="x"))[0] == ("failed", "file_pattern")
    assert only(state, call("write_to_file", path="n.md", content="x"))[0] == ("accepted",)


@pytest.mark.parametrize(
    ("one", "found", "failed"),
    [
        (call("read_file", path="secret/s"), ("failed", "ignored_file"), True),
        (call("read_file", files=[{"path": "secret/s"}]), ("failed", "ignored_file"), False),
        (call("write_to_file", path="secret/n", content="x"), ("failed", "ignored_file"), False),
        (call("apply_diff", path="./secret/s", diff="x"), ("failed", "ignored_file"), False),
        (call("execute_command", command="cat -n secret/s"), ("failed", "ignored_file"), False),
        (call("execute_command", command="python secret/s"), ("accepted",), False),
        (call("edit", file_path="secret/s", old_string="k", new_string="x"), ("failed", "ignored_file"), False),
        (
            call("search_replace", file_path="secret/s", old_string="k", new_string="x"),
            ("failed", "ignored_file"),
            False,
        ),
        (call("edit_file", file_path="secret/s", old_string="k", new_string="x"), ("failed", "ignored_file"), True),
        (
            call("apply_patch", patch="*** Begin Patch\n*** Delete File: secret/s\n*** End Patch"),
            ("failed", "ignored_file"),
            False,
        ),
        (call("list_files", path="secret"), ("accepted",), False),
        (call("read_file", path=".rooignore"), ("failed", "ignored_file"), True),
    ],
)
def test_ignored_files_are_kept_from_the_model(one: ToolCall, found: tuple[str, ...], failed: bool) -> None:
    files = {**FILES, ".rooignore": "secret/\n", "secret/s": "k\n"}
    state = new_state(files=files, included_tools=frozenset(("edit", "search_replace", "edit_file", "apply_patch")))
    got, outcome = only(state, one)
    assert (got, outcome.turn_failed) == (found, failed)
    assert state.files == files
    assert state.mistakes == (0 if found == ("accepted",) else 1) or one.name == "read_file"


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([*TOOLS, "write_file", "mcp--my_srv--other", "zzz"]),
            st.dictionaries(
                st.sampled_from(sorted({name for spec in TOOLS.values() for name in spec.arguments} | {"files"})),
                st.sampled_from(["", "a.txt", "d", "x", None, 0, 2, True, [], ["a"], {}, [{"path": "a.txt"}], [None]]),
            ),
        ),
        max_size=4,
    ),
    st.sampled_from(["code", "architect", "nowhere"]),
)
def test_every_turn_has_one_outcome_per_call(calls: list[tuple[str, dict[str, Any]]], mode: str) -> None:
    state = new_state(mode=mode, included_tools=frozenset(("edit", "search_replace", "edit_file", "apply_patch")))
    outcome = take(state, *(call(name, **arguments) for name, arguments in calls))
    assert [one.tool for one in outcome.calls] == [name for name, _ in calls]
    assert all(one.codes for one in outcome.calls if one.verdict != "accepted")
    assert state.mistakes >= 0
