"""The same mistake has one name, whatever the protocol that it is made in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from services.protocols.cases import Case, Expected, McpServer
from services.protocols.openai_tools.tools import TEXT, function
from services.protocols.profile import get_profile
from services.protocols.turn import Answer, Effect, ToolCall
from services.protocols.verdict import Fault, LayerStatus

SERVERS = (McpServer("srv", ("look",)),)
FILES = {"a.txt": "one\n"}
CHANGED = {"a.txt": "two\n"}
DIFF = "<<<<<<< SEARCH\n:start_line:1\n-------\n{}\n=======\ntwo\n>>>>>>> REPLACE"
FUNCTIONS = (
    function("list_files", "Lists a folder.", {"path": TEXT}),
    function("change", "Changes a file.", {"path": TEXT, "old": TEXT, "new": TEXT}),
)
EFFECTS = {"change": Effect("replace", {"path": "path", "old": "old", "new": "new"})}


def case_of(tool: str, arguments: Mapping[str, object], **changes: object) -> Case:
    files = changes.pop("result", {})
    assert isinstance(files, dict)
    case = Case("c", "x", tool, "code", "Do it.", Expected(tool, arguments, files), "t", "", files=FILES, mcp=SERVERS)
    return replace(case, **changes)  # type: ignore[arg-type]


LIST = case_of("list_files", {"path": "src"})
LIST_BY_FUNCTION = replace(LIST, tools=FUNCTIONS)
SILENT = replace(LIST, expected=Expected("list_files", no_call=True))
SWITCH = case_of("switch_mode", {"mode_slug": "ask", "reason": "r"})
SUBTASK = case_of("new_task", {"mode": "ask", "message": "m"})
ASK = case_of("ask_followup_question", {"question": "q?", "follow_up": []})
SERVER = case_of("use_mcp_tool", {"server_name": "srv", "tool_name": "look", "arguments": "{}"})
READ = case_of("read_file", {"files": [{"path": "a.txt", "line_ranges": []}]})
TODOS = case_of("update_todo_list", {"todos": "[ ] a"})
CHANGE = case_of("apply_diff", {"path": "a.txt", "diff": ""}, result=CHANGED)
CHANGE_BY_FUNCTION = case_of("change", {"path": "a.txt"}, result=CHANGED, tools=FUNCTIONS, effects=EFFECTS)


def xml(tool: str, **params: str) -> Answer:
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in params.items())
    return Answer(f"<{tool}>{inner}</{tool}>")


def call(tool: str, arguments: str = "", **values: object) -> Answer:
    return Answer("", (ToolCall(tool, arguments or json.dumps(values)),))


def replaced(old: str) -> Answer:
    return call("change", path="a.txt", old=old, new="two")


Planted = tuple[str, Case, Answer]
NAMES: dict[str, tuple[str, tuple[Planted, ...]]] = {
    "nothing is said": (
        "empty_answer",
        (("roo_xml", LIST, Answer()), ("roo_native", LIST, Answer()), ("openai_tools", LIST_BY_FUNCTION, Answer())),
    ),
    "the limit cuts the reasoning": (
        "cut_off",
        tuple(
            (profile, case, Answer("<think>I will", (), "length"))
            for profile, case in (("roo_xml", LIST), ("roo_native", LIST), ("openai_tools", LIST_BY_FUNCTION))
        ),
    ),
    "plain text that the limit cuts": (
        "no_call",
        tuple(
            (profile, case, Answer("I will list", (), "length"))
            for profile, case in (("roo_xml", LIST), ("roo_native", LIST), ("openai_tools", LIST_BY_FUNCTION))
        ),
    ),
    "a call in another protocol's form": (
        "foreign_form",
        tuple(
            (profile, case, Answer('[TOOL_CALLS] [{"name": "list_files", "arguments": {"path": "src"}}]'))
            for profile, case in (("roo_xml", LIST), ("roo_native", LIST), ("openai_tools", LIST_BY_FUNCTION))
        ),
    ),
    "a tool that does not exist": (
        "unknown_tool",
        (
            ("roo_xml", LIST, xml("view_file", path="a")),
            ("roo_native", LIST, call("view_file", path="a")),
            ("openai_tools", LIST_BY_FUNCTION, call("view_file", path="a")),
        ),
    ),
    "a required argument that is not there": (
        "missing_param",
        (
            ("roo_xml", LIST, xml("list_files", recursive="true")),
            ("roo_native", LIST, call("list_files", recursive=True)),
            ("openai_tools", LIST_BY_FUNCTION, call("list_files", "{}")),
        ),
    ),
    "a file to read that is not named": (
        "missing_param",
        (("roo_xml", READ, xml("read_file", args="a.txt")), ("roo_native", READ, call("read_file", offset=1))),
    ),
    "an argument that the tool does not have": (
        "foreign_parameter",
        (
            ("roo_xml", LIST, xml("list_files", path="src", query="x")),
            ("roo_native", LIST, call("list_files", path="src", recursive=False, query="x")),
            ("openai_tools", LIST_BY_FUNCTION, call("list_files", path="src", query="x")),
        ),
    ),
    "a mode that does not exist": (
        "unknown_mode",
        (
            ("roo_xml", SWITCH, xml("switch_mode", mode_slug="nowhere", reason="r")),
            ("roo_native", SWITCH, call("switch_mode", mode_slug="nowhere", reason="r")),
            ("roo_xml", SUBTASK, xml("new_task", mode="nowhere", message="m")),
            ("roo_native", SUBTASK, call("new_task", mode="nowhere", message="m", todos=None)),
        ),
    ),
    "a mode that does not exist, in an answer to choose": (
        "unknown_mode",
        (
            (
                "roo_xml",
                ASK,
                xml(
                    "ask_followup_question",
                    question="q?",
                    follow_up='<suggest mode="x">a</suggest><suggest>b</suggest>',
                ),
            ),
            (
                "roo_native",
                ASK,
                call(
                    "ask_followup_question",
                    question="q?",
                    follow_up=[{"text": "a", "mode": "x"}, {"text": "b", "mode": None}],
                ),
            ),
        ),
    ),
    "the mode that it is in": (
        "same_mode",
        (
            ("roo_xml", SWITCH, xml("switch_mode", mode_slug="code", reason="r")),
            ("roo_native", SWITCH, call("switch_mode", mode_slug="code", reason="r")),
        ),
    ),
    "an instruction that does not exist": (
        "unknown_instruction",
        (
            ("roo_xml", LIST, xml("fetch_instructions", task="fly")),
            ("roo_native", LIST, call("skill", skill="fly", args=None)),
        ),
    ),
    "a server that is not connected": (
        "mcp_unknown_server",
        (
            ("roo_xml", SERVER, xml("use_mcp_tool", server_name="no", tool_name="look", arguments="{}")),
            ("roo_native", SERVER, call("mcp--no--look", "{}")),
        ),
    ),
    "a tool that the server does not have": (
        "mcp_unknown_tool",
        (
            ("roo_xml", SERVER, xml("use_mcp_tool", server_name="srv", tool_name="no", arguments="{}")),
            ("roo_native", SERVER, call("mcp--srv--no", "{}")),
        ),
    ),
    "arguments that are no JSON": (
        "bad_json",
        (
            ("roo_xml", SERVER, xml("use_mcp_tool", server_name="srv", tool_name="look", arguments="{x")),
            ("roo_native", SERVER, call("mcp--srv--look", "{x")),
            ("openai_tools", LIST_BY_FUNCTION, call("list_files", "{x")),
        ),
    ),
    "arguments that are no object": (
        "not_an_object",
        (
            ("roo_xml", SERVER, xml("use_mcp_tool", server_name="srv", tool_name="look", arguments="[1]")),
            ("roo_native", SERVER, call("mcp--srv--look", "[1]")),
            ("openai_tools", LIST_BY_FUNCTION, call("list_files", "[1]")),
        ),
    ),
    "a line of a checklist that is no item": (
        "bad_value",
        (
            ("roo_xml", TODOS, xml("update_todo_list", todos="buy")),
            ("roo_native", TODOS, call("update_todo_list", todos="buy")),
        ),
    ),
    "a tool that the mode does not offer": (
        "not_allowed_in_mode",
        (
            ("roo_xml", replace(LIST, mode="ask"), xml("execute_command", command="ls")),
            ("roo_native", replace(LIST, mode="ask"), call("execute_command", command="ls", cwd=None, timeout=None)),
        ),
    ),
    "another tool than the task asks for": (
        "wrong_tool",
        (
            ("roo_xml", SWITCH, xml("list_files", path="src")),
            ("roo_native", SWITCH, call("list_files", path="src", recursive=False)),
            ("openai_tools", CHANGE_BY_FUNCTION, call("list_files", path="src")),
        ),
    ),
    "another value than the task asks for": (
        "wrong_arguments",
        (
            ("roo_xml", LIST, xml("list_files", path="lib")),
            ("roo_native", LIST, call("list_files", path="lib", recursive=False)),
            ("openai_tools", LIST_BY_FUNCTION, call("list_files", path="lib")),
        ),
    ),
    "text to be replaced that does not stand in the file": (
        "no_match",
        (
            ("roo_xml", CHANGE, xml("apply_diff", path="a.txt", diff=DIFF.format("three"))),
            ("roo_native", CHANGE, call("apply_diff", path="a.txt", diff=DIFF.format("three"))),
            ("openai_tools", CHANGE_BY_FUNCTION, replaced("three")),
        ),
    ),
    "a file that becomes something else": (
        "wrong_result",
        (
            ("roo_xml", CHANGE, xml("apply_diff", path="a.txt", diff=DIFF.format("one").replace("two", "ten"))),
            ("roo_native", CHANGE, call("apply_diff", path="a.txt", diff=DIFF.format("one").replace("two", "ten"))),
            ("openai_tools", CHANGE_BY_FUNCTION, call("change", path="a.txt", old="one", new="ten")),
        ),
    ),
    "a call where none is due": (
        "needless_call",
        (
            ("roo_xml", SILENT, xml("list_files", path="src")),
            ("roo_native", SILENT, call("list_files", path="src", recursive=False)),
            ("openai_tools", replace(SILENT, tools=FUNCTIONS), call("list_files", path="src")),
        ),
    ),
    "a call where none is due, in a form that is none": (
        "needless_call",
        tuple(
            (profile, replace(SILENT, tools=tools), Answer('{"name": "list_files", "arguments": {"path": "src"}}'))
            for profile, tools in (("roo_xml", ()), ("roo_native", ()), ("openai_tools", FUNCTIONS))
        ),
    ),
    "silence where words are due": (
        "wrong_result",
        (
            ("roo_xml", SILENT, Answer(" ")),
            ("roo_native", SILENT, Answer(" ")),
            ("openai_tools", replace(SILENT, tools=FUNCTIONS), Answer(" ")),
        ),
    ),
}


@pytest.mark.parametrize("mistake", NAMES)
def test_a_mistake_has_one_name_in_all_profiles(mistake: str) -> None:
    name, planted = NAMES[mistake]
    faults = {(profile, fault_of(profile, case, answer)) for profile, case, answer in planted}
    assert faults == {(profile, Fault(name)) for profile, _, _ in planted}  # type: ignore[call-arg]


def fault_of(profile: str, case: Case, answer: Answer) -> Fault | None:
    verdict = get_profile(profile).judge(case, answer)
    return next((layer.fault for layer in verdict.layers if layer.status is LayerStatus.FAILED), None)
