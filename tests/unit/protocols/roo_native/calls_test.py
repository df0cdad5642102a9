"""One call, and what the client makes of it: verdict, counter, failed turn, attempts and recorded failures."""

import json
from typing import Any

import pytest

from services.protocols.cases import McpServer
from services.protocols.roo_native.turn import take_turn
from services.protocols.turn import Answer, ClientState, ToolCall

BAD = "{bad"


def call(name: str, **arguments: Any) -> ToolCall:
    return ToolCall(name, json.dumps(arguments))


@pytest.mark.parametrize(
    ("one", "found", "mistakes", "failed", "attempts", "failures"),
    [
        (ToolCall("read_file", BAD), ("failed", "invalid_arguments"), 2, False, {}, {"read_file": 1}),
        (ToolCall("custom_tool", "{}"), ("failed", "invalid_arguments"), 2, False, {}, {"custom_tool": 1}),
        (ToolCall("mcp_a", "{}"), ("failed", "invalid_arguments"), 2, False, {}, {"mcp_a": 1}),
        (ToolCall("mcp__a__b", BAD), ("failed", "invalid_arguments"), 2, False, {}, {"mcp__a__b": 1}),
        (ToolCall("mcp--a--b", BAD), ("failed", "unknown_tool"), 2, False, {"mcp--a--b": 1}, {}),
        (ToolCall("mcp--a", "{}"), ("failed", "unknown_tool"), 2, False, {"mcp--a": 1}, {}),
        (ToolCall("browser_action", "{}"), ("failed", "unknown_tool"), 2, False, {"browser_action": 1}, {}),
        (ToolCall("write_file", "{}"), ("failed", "unknown_tool"), 2, False, {"write_file": 1}, {}),
        (call("write_file", path="n", content="x"), ("accepted",), 0, False, {"write_to_file": 1}, {}),
        (
            call("search_and_replace", file_path="a.txt", old_string="o", new_string="x"),
            ("failed", "not_allowed_in_mode"),
            2,
            False,
            {"edit": 1},
            {},
        ),
        (call("read_file", path=""), ("failed", "missing_param:path"), 2, False, {"read_file": 1}, {"read_file": 1}),
        (call("read_file", path=None), ("failed", "missing_param:path"), 2, False, {"read_file": 1}, {"read_file": 1}),
        (call("read_file", path=5), ("failed", "bad_path_value"), 1, True, {"read_file": 1}, {}),
        (call("read_file", path="gone"), ("failed", "file_not_found"), 1, True, {"read_file": 1}, {}),
        (call("read_file", path="d/"), ("failed", "is_directory"), 1, True, {"read_file": 1}, {}),
        (call("read_file", path="gone", offset=0), ("failed", "bad_offset"), 1, False, {"read_file": 1}, {}),
        (call("read_file", path="a.txt", offset="0.5"), ("failed", "bad_offset"), 1, False, {"read_file": 1}, {}),
        (call("read_file", path="a.txt", offset=None, limit=-3), ("accepted",), 1, False, {"read_file": 1}, {}),
        (
            call("read_file", path="a.txt", indentation={"anchor_line": 0}),
            ("failed", "bad_offset"),
            1,
            False,
            {"read_file": 1},
            {},
        ),
        (
            call("read_file", path="./a.txt", mode="indentation", offset=99),
            ("accepted",),
            1,
            False,
            {"read_file": 1},
            {},
        ),
        (call("list_files", path=""), ("failed", "missing_param:path"), 2, True, {"list_files": 1}, {"list_files": 1}),
        (call("list_files", path=[1]), ("failed", "bad_path_value"), 0, False, {"list_files": 1}, {}),
        (
            call("search_files", path=".", regex=""),
            ("failed", "missing_param:regex"),
            2,
            True,
            {"search_files": 1},
            {"search_files": 1},
        ),
        (call("search_files", path=".", regex="("), ("accepted",), 0, False, {"search_files": 1}, {}),
        (call("codebase_search", query=""), ("failed", "missing_param:query"), 2, True, {"codebase_search": 1}, {}),
        (call("codebase_search", query="q"), ("accepted",), 0, False, {"codebase_search": 1}, {}),
        (
            call("write_to_file", path="", content="x"),
            ("failed", "missing_param:path"),
            2,
            False,
            {"write_to_file": 1},
            {"write_to_file": 1},
        ),
        (call("write_to_file", path="n", content=""), ("accepted",), 0, False, {"write_to_file": 1}, {}),
        (
            call("write_to_file", path="n", content={"a": 1}),
            ("failed", "bad_value"),
            1,
            False,
            {"write_to_file": 1},
            {},
        ),
        (call("write_to_file", path="d", content="x"), ("failed", "is_directory"), 0, False, {"write_to_file": 1}, {}),
        (
            call("apply_diff", path="a.txt", diff=""),
            ("failed", "missing_param:diff"),
            2,
            False,
            {"apply_diff": 1},
            {"apply_diff": 1},
        ),
        (call("apply_diff", path="a.txt", diff=[1]), ("failed", "bad_value"), 1, False, {"apply_diff": 1}, {}),
        (
            call("apply_diff", path="a.txt", diff="x"),
            ("failed", "no_block"),
            2,
            False,
            {"apply_diff": 1},
            {"apply_diff": 1},
        ),
        (call("execute_command", command=" "), ("accepted",), 0, False, {"execute_command": 1}, {}),
        (call("execute_command", command=["ls"]), ("failed", "bad_value"), 1, False, {"execute_command": 1}, {}),
        (
            call("read_command_output", artifact_id="../x"),
            ("failed", "bad_artifact_id"),
            2,
            True,
            {"read_command_output": 1},
            {"read_command_output": 1},
        ),
        (
            call("read_command_output", artifact_id="cmd-1.txt"),
            ("failed", "file_not_found"),
            1,
            True,
            {"read_command_output": 1},
            {},
        ),
        (
            call("ask_followup_question", question="", follow_up=[]),
            ("failed", "missing_param:question"),
            2,
            True,
            {"ask_followup_question": 1},
            {"ask_followup_question": 1},
        ),
        (
            call("ask_followup_question", question="q", follow_up=None),
            ("failed", "missing_param:follow_up"),
            2,
            True,
            {"ask_followup_question": 1},
            {"ask_followup_question": 1},
        ),
        (
            call("ask_followup_question", question="q", follow_up=[]),
            ("accepted",),
            0,
            False,
            {"ask_followup_question": 1},
            {},
        ),
        (
            call("ask_followup_question", question="q", follow_up=[None]),
            ("failed", "bad_value"),
            1,
            False,
            {"ask_followup_question": 1},
            {},
        ),
        (
            call("switch_mode", mode_slug="", reason="r"),
            ("failed", "missing_param:mode_slug"),
            2,
            False,
            {"switch_mode": 1},
            {"switch_mode": 1},
        ),
        (
            call("switch_mode", mode_slug=["ask"], reason=None),
            ("failed", "unknown_mode"),
            0,
            True,
            {"switch_mode": 1},
            {"switch_mode": 1},
        ),
        (
            call("new_task", mode="code", message=""),
            ("failed", "missing_param:message"),
            2,
            True,
            {"new_task": 1},
            {"new_task": 1},
        ),
        (call("new_task", mode="code", message=5), ("failed", "bad_value"), 0, False, {"new_task": 1}, {}),
        (call("new_task", mode="nowhere", message="m"), ("failed", "unknown_mode"), 0, False, {"new_task": 1}, {}),
        (call("skill", skill=""), ("failed", "missing_param:skill"), 2, True, {"skill": 1}, {"skill": 1}),
        (call("skill", skill="none"), ("failed", "unknown_instruction"), 0, True, {"skill": 1}, {"skill": 1}),
        (call("run_slash_command", command="x"), ("failed", "experiment_off"), 1, False, {"run_slash_command": 1}, {}),
        (
            call("generate_image", prompt="p", path="a.png"),
            ("failed", "experiment_off"),
            1,
            False,
            {"generate_image": 1},
            {},
        ),
        (
            call("access_mcp_resource", server_name="my srv", uri=""),
            ("failed", "missing_param:uri"),
            2,
            False,
            {"access_mcp_resource": 1},
            {"access_mcp_resource": 1},
        ),
        (
            call("access_mcp_resource", server_name="my srv", uri="u"),
            ("accepted",),
            0,
            False,
            {"access_mcp_resource": 1},
            {},
        ),
        (
            call("access_mcp_resource", server_name="x", uri="u"),
            ("failed", "mcp_unknown_server"),
            0,
            False,
            {"access_mcp_resource": 1},
            {},
        ),
        (
            call("use_mcp_tool", server_name="my srv", tool_name=""),
            ("failed", "missing_param:tool_name"),
            2,
            False,
            {"use_mcp_tool": 1},
            {"use_mcp_tool": 1},
        ),
        (
            call("use_mcp_tool", server_name="my srv", tool_name="other"),
            ("accepted",),
            0,
            False,
            {"use_mcp_tool": 1},
            {},
        ),
        (
            call("use_mcp_tool", server_name="my srv", tool_name="other", arguments="{}"),
            ("failed", "mcp_bad_json"),
            2,
            True,
            {"use_mcp_tool": 1},
            {"use_mcp_tool": 1},
        ),
        (call("mcp--my_srv--get-it", q=1), ("accepted",), 0, False, {"use_mcp_tool": 1}, {}),
        (
            ToolCall("mcp__my_srv__get_it", "null"),
            ("failed", "mcp_bad_json"),
            2,
            True,
            {"use_mcp_tool": 1},
            {"use_mcp_tool": 1},
        ),
        (
            ToolCall("mcp--my_srv--gone", ""),
            ("failed", "mcp_unknown_tool"),
            2,
            True,
            {"use_mcp_tool": 1},
            {"use_mcp_tool": 1},
        ),
    ],
)
def test_what_the_client_makes_of_one_call(
    one: ToolCall,
    found: tuple[str, ...],
    mistakes: int,
    failed: bool,
    attempts: dict[str, int],
    failures: dict[str, int],
) -> None:
    files = {"a.txt": "one\ntwo\n", "d/x.py": "x = 1\n"}
    state = ClientState(files=files, mcp=(McpServer("my srv", ("get_it", "other")),), mistakes=1)
    outcome = take_turn(state, Answer("", (one,)))
    got = (outcome.calls[0].verdict, *outcome.calls[0].codes)
    assert (got, state.mistakes, outcome.turn_failed) == (found, mistakes, failed)
    assert (outcome.attempts, outcome.failures) == (attempts, failures)
