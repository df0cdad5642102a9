"""Calls that steer the task, and calls that reach beyond the workspace."""

import json

import pytest

from services.protocols.cases import McpServer
from services.protocols.roo_xml.editions import REFERENCE
from services.protocols.roo_xml.tools.tool import Call
from services.protocols.roo_xml.turn import result_of, take_turn
from services.protocols.session import call_key
from services.protocols.turn import Answer, ClientState, TurnOutcome

BARE = "<suggest>a < b</suggest>"
SERVERS = (McpServer("maps", ("find", "route")), McpServer("idle", ()))
MODES = ({"slug": "docs", "name": "Docs", "roleDefinition": "r", "groups": ["read"]},)


def turn(text: str, **fields: object) -> tuple[TurnOutcome, ClientState]:
    state = ClientState(**{"mistakes": 1, "mcp": SERVERS, "custom_modes": MODES, **fields})  # type: ignore[arg-type]
    return take_turn(state, Answer(text)), state


def call(tool: str, **params: str) -> str:
    return f"<{tool}>" + "".join(f"<{name}>{value}</{name}>" for name, value in params.items()) + f"</{tool}>"


def facts(outcome: TurnOutcome, state: ClientState) -> tuple[int, bool, bool]:
    """Return mistakes after the call, whether a failure was recorded, whether the turn failed."""
    return state.mistakes, bool(outcome.failures), outcome.turn_failed


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        (call("ask_followup_question"), "missing_param:question", (2, True, True)),
        (call("ask_followup_question", follow_up="<suggest>a"), "follow_up_xml", (1, False, False)),
        (call("ask_followup_question", question="q", follow_up=BARE), "follow_up_xml", (1, False, False)),
        (call("attempt_completion"), "missing_param:result", (2, True, False)),
        (call("attempt_completion", result=" \n "), "missing_param:result", (2, True, False)),
        (call("switch_mode", reason="r"), "missing_param:mode_slug", (2, True, False)),
        (call("switch_mode", mode_slug="nope"), "unknown_mode", (0, True, True)),
        (call("switch_mode", mode_slug="Code"), "unknown_mode", (0, True, True)),
        (call("switch_mode", mode_slug="code"), "same_mode", (0, True, True)),
        (call("new_task", message="m"), "missing_param:mode", (2, True, True)),
        (call("new_task", mode="code"), "missing_param:message", (2, True, True)),
        (call("new_task", mode="nope", message="m", todos="x"), "unknown_mode", (0, False, False)),
        (call("execute_command", cwd="a"), "missing_param:command", (2, True, False)),
        (call("use_mcp_tool", tool_name="find"), "missing_param:server_name", (2, True, False)),
        (call("use_mcp_tool", server_name="maps"), "missing_param:tool_name", (2, True, False)),
        (call("use_mcp_tool", server_name="maps", tool_name="find", arguments="{a}"), "mcp_bad_json", (2, True, True)),
        (call("use_mcp_tool", server_name="x", tool_name="find", arguments="NaN"), "mcp_bad_json", (2, True, True)),
        (call("use_mcp_tool", server_name="x", tool_name="find"), "mcp_unknown_server", (2, True, True)),
        (call("use_mcp_tool", server_name="maps", tool_name="x"), "mcp_unknown_tool", (2, True, True)),
        (call("use_mcp_tool", server_name="idle", tool_name="x"), "mcp_unknown_tool", (2, True, True)),
        (call("access_mcp_resource", server_name="maps"), "missing_param:uri", (2, True, False)),
        (call("access_mcp_resource", server_name="x", uri="a:b"), "mcp_unknown_server", (0, False, False)),
        (call("browser_action"), "missing_param:action", (2, True, True)),
        (call("browser_action", action="dance"), "missing_param:action", (2, True, True)),
        (call("browser_action", action="launch"), "missing_param:url", (2, True, True)),
        (call("browser_action", action="hover"), "missing_param:coordinate", (2, True, True)),
        (call("browser_action", action="click", coordinate="1,2"), "missing_param:coordinate", (2, True, True)),
        (call("browser_action", action="press"), "missing_param:text", (2, True, True)),
        (call("browser_action", action="resize"), "missing_param:size", (2, True, True)),
        (call("browser_action", action="screenshot"), "missing_param:path", (2, True, True)),
    ],
)  # fmt: skip
def test_each_failure_is_counted_where_the_client_counts_it(
    text: str, code: str, expected: tuple[int, bool, bool]
) -> None:
    outcome, state = turn(text)
    assert (outcome.calls[0].verdict, outcome.calls[0].codes) == ("failed", (code,))
    assert facts(outcome, state) == expected
    assert "<error>" in outcome.calls[0].reply


@pytest.mark.parametrize(
    "text",
    [
        call("ask_followup_question", question="q"),
        call("ask_followup_question", question="q", follow_up="plain"),
        call("attempt_completion", result="r", command="ls"),
        call("switch_mode", mode_slug="docs"),
        call("new_task", mode="docs", message="m", todos="no items"),
        call("execute_command", command="ls"),
        call("use_mcp_tool", server_name="maps", tool_name="find", arguments="[1]"),
        call("use_mcp_tool", server_name="maps", tool_name="find", arguments=" "),
        call("access_mcp_resource", server_name="idle", uri="a:b"),
        call("browser_action", action="click", coordinate=" 1 , 2 @ 30x40"),
        call("browser_action", action="hover", coordinate="1,2@30,40"),
        call("browser_action", action="close"),
        call("browser_action", action="screenshot", path="a.png"),
    ],
)
def test_a_sound_call_is_accepted_and_resets_the_counter(text: str) -> None:
    outcome, state = turn(text)
    assert (outcome.calls[0].verdict, outcome.calls[0].codes) == ("accepted", ())
    assert facts(outcome, state) == (0, False, False)


@pytest.mark.parametrize(
    ("todos", "items"),
    [
        ("[x] a\n- [-] b\n[ ]c\n* [ ] d\n[~] e", [("completed", "a"), ("in_progress", "b"), ("in_progress", "e")]),
        ("nothing", []),
        ("", []),
    ],
)
def test_a_checklist_replaces_the_old_one_whole_and_leaves_the_counter(
    todos: str, items: list[tuple[str, str]]
) -> None:
    outcome, state = turn(call("update_todo_list", todos=todos), todos=[("pending", "old")])
    assert (state.todos, facts(outcome, state)) == (items, (1, False, False))


def test_a_subtasks_checklist_is_not_the_tasks() -> None:
    _, state = turn(call("new_task", mode="code", message="m", todos="[ ] a"))
    assert (state.todos, state.mode) == (None, "code")


def test_the_user_takes_the_first_suggestion() -> None:
    follow_up = '<suggest mode="code">one</suggest><suggest>two</suggest>'
    outcome, state = turn(call("ask_followup_question", question="q", follow_up=follow_up))
    assert (outcome.calls[0].reply, state.mode) == ("<answer>\none\n</answer>", "code")


def test_a_mistake_is_told_with_what_exists() -> None:
    unknown_server, _ = turn(call("use_mcp_tool", server_name="x", tool_name="y"))
    unknown_tool, _ = turn(call("use_mcp_tool", server_name="maps", tool_name="y"))
    assert "maps, idle" in unknown_server.calls[0].reply
    assert "find, route" in unknown_tool.calls[0].reply


@pytest.mark.parametrize(
    ("command", "hidden"),
    [
        ("cat secret/k.txt", True),
        ("  CAT\tsecret/k.txt", True),
        ("grep -n k secret/k.txt", True),
        ("tail -f -- a.key", True),
        ("type A.KEY", True),
        ("cat &lt;a.key", True),
        ("cat ./x/../secret/k.txt", True),
        ("cat secret", False),
        ("cat secret/", False),
        ("cat /secret/k.txt", False),
        ("cat c:a.key", False),
        ("cat ../secret/k.txt", False),
        ("cat --file=a.key", False),
        ("python secret/k.txt", False),
        ("sudo cat secret/k.txt", False),
        ("cat 'secret/k.txt'", False),
    ],
)
def test_a_command_that_would_print_a_hidden_file_never_reaches_the_user(command: str, hidden: bool) -> None:
    files = {".rooignore": "secret/\n*.key\n", "secret/k.txt": "k"}
    outcome, state = turn(call("execute_command", command=command), files=files)
    assert outcome.calls[0].codes == (("ignored_file",) if hidden else ())
    assert facts(outcome, state) == ((1 if hidden else 0), False, False)


@pytest.mark.parametrize(
    ("tool", "params", "arguments"),
    [
        ("execute_command", {"command": "make test"}, {"command": "make test"}),
        (
            "use_mcp_tool",
            {"server_name": "maps", "tool_name": "find", "arguments": '{"b": 2, "a": 1}'},
            {"server_name": "maps", "tool_name": "find", "arguments": {"a": 1, "b": 2}},
        ),
    ],
)
def test_a_case_says_what_its_tools_answer_by_call_or_by_tool(
    tool: str, params: dict[str, str], arguments: dict[str, object]
) -> None:
    by_call = {call_key(tool, arguments): "this call", tool: "this tool"}
    text = call(tool, **params)
    assert "this call" in turn(text, results=by_call)[0].calls[0].reply
    assert "this tool" in turn(text, results={tool: "this tool"})[0].calls[0].reply
    other = text.replace("make test", "make").replace('"b": 2', '"b": 3')
    assert "this tool" in turn(other, results=by_call)[0].calls[0].reply


def test_deep_json_in_arguments_is_refused_and_not_a_crash() -> None:
    text = call("use_mcp_tool", server_name="maps", tool_name="find", arguments="[" * 100_000)
    assert turn(text)[0].calls[0].codes == ("mcp_bad_json",)
    listed = turn(text.replace("[" * 100_000, json.dumps([1])), results={"use_mcp_tool": "x"})[0]
    assert (listed.calls[0].verdict, listed.calls[0].reply) == ("accepted", "x")


def test_arguments_that_are_no_json_do_not_matter_where_they_are_not_looked_at() -> None:
    outcome, _ = turn(call("browser_action", action="close", arguments="{"), results={"browser_action": "x"})
    assert outcome.calls[0].reply == "x"


def test_a_completion_behind_a_failed_call_is_refused_without_being_counted() -> None:
    state = ClientState(mistakes=1)
    result = result_of(Call("attempt_completion", {}, state, REFERENCE, turn_failed=True))
    assert (result.verdict, result.codes, result.counter) == ("failed", ("tool_failed_before_completion",), "keep")
    assert not result.records_failure
