import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.protocols.cases import Case, Choice, Expected, FreeText, McpServer
from services.protocols.roo_native.form import value_problem
from services.protocols.roo_native.judge import judge
from services.protocols.roo_native.parse.text_form import answer_from_text, text_of_call
from services.protocols.roo_native.tools import TOOLS
from services.protocols.turn import Answer, ClientState, FinishReason, ToolCall
from services.protocols.verdict import Cause, Fault, LayerName, LayerStatus, Verdict

FILES = {"a.txt": "one\ntwo\n"}
DIFF = "<<<<<<< SEARCH\n:start_line:2\n-------\ntwo\n=======\n2\n>>>>>>> REPLACE"


def case(tool: str, arguments: dict[str, Any] | None = None, **changes: Any) -> Case:
    expected = Expected(
        tool,
        arguments or {},
        changes.pop("result", {}),
        changes.pop("free_text", ()),
        changes.pop("choices", ()),
        changes.pop("further", ()),
        changes.pop("no_call", False),
    )
    made = Case("c", "x", tool, "code", "Do it.", expected, "t", "", files=FILES, mcp=(McpServer("srv", ("get_it",)),))
    return replace(made, **changes)


def call(name: str, **arguments: Any) -> ToolCall:
    return ToolCall(name, json.dumps(arguments))


def verdict(of: Case, *calls: ToolCall, text: str = "", finish_reason: FinishReason = "stop") -> Verdict:
    return judge(of, Answer(text, calls, finish_reason))


def failure(found: Verdict) -> tuple[str, str] | None:
    layer = next((layer for layer in found.layers if layer.status is LayerStatus.FAILED), None)
    return (layer.name.value, layer.fault.value) if layer and layer.fault else None


READ = case("read_file", {"path": "a.txt"})


def test_the_right_call_conforms() -> None:
    found = verdict(READ, call("read_file", path="./a.txt"))
    assert (found.conforming, found.accepted, found.well_formed, found.tool) == (True, True, True, "read_file")


@pytest.mark.parametrize(
    ("text", "fault", "cause"),
    [
        ("", Fault.EMPTY_ANSWER, Cause.NO_CALL),
        ("I will read it.", Fault.NO_CALL, Cause.NO_CALL),
        ("<read_file><path>a</path></read_file>", Fault.BAD_TAG, Cause.WRONG_FORMAT),
        ('{"name": "read_file", "arguments": {}}', Fault.FOREIGN_FORM, Cause.WRONG_FORMAT),
        ("read_file(path='a.txt')", Fault.FOREIGN_FORM, Cause.WRONG_FORMAT),
        ('<invoke name="read_file">', Fault.FOREIGN_FORM, Cause.WRONG_FORMAT),
    ],
)
def test_an_answer_without_a_call(text: str, fault: Fault, cause: Cause) -> None:
    found = verdict(READ, text=text)
    assert (failure(found), found.cause, found.accepted) == (("call_present", fault.value), cause, False)


def test_an_answer_that_the_limit_cut_before_or_within_a_call() -> None:
    assert verdict(READ, text="So: <tool_c", finish_reason="length").cause is Cause.TRUNCATED_BY_LIMIT
    assert verdict(READ, text="I will", finish_reason="length").cause is Cause.NO_CALL
    cut = ToolCall("read_file", '{"path": "a')
    assert verdict(READ, cut, finish_reason="length").cause is Cause.TRUNCATED_BY_LIMIT
    assert failure(verdict(READ, cut)) == ("parses", "bad_json")


@pytest.mark.parametrize(
    ("one", "layer", "fault"),
    [
        (ToolCall("read_file", "[]"), "parses", "not_an_object"),
        (call("read_file", path="a.txt", note="x"), "parses", "foreign_parameter"),
        (ToolCall("mcp--srv--get_it", "[1]"), "parses", "not_an_object"),
        (call("view_file", path="a.txt"), "known_tool", "unknown_tool"),
        (call("mcp--srv", x=1), "known_tool", "bad_mcp_name"),
        (call("write_file", path="n", content=""), "offered", "not_allowed_in_mode"),
        (call("edit", file_path="a", old_string="b", new_string="c"), "offered", "not_allowed_in_mode"),
        (call("use_mcp_tool", server_name="srv", tool_name="get_it"), "offered", "not_allowed_in_mode"),
        (call("edit", file_path="a"), "offered", "not_allowed_in_mode"),
        (call("read_file"), "required_parameters", "missing_param"),
        (call("execute_command", command="ls", cwd=None), "required_parameters", "missing_param"),
        (call("search_files", path="a", regex=" ", file_pattern=None), "required_parameters", "missing_param"),
        (call("read_file", path=5), "valid_values", "bad_value"),
        (call("read_file", path="a.txt", offset="3"), "valid_values", "bad_value"),
        (call("read_file", path="a.txt", offset=0), "valid_values", "bad_value"),
        (call("read_file", path="a.txt", mode="all"), "valid_values", "bad_value"),
        (call("list_files", path=".", recursive="true"), "valid_values", "bad_value"),
        (call("apply_diff", path="a.txt", diff="x"), "valid_values", "diff_form"),
        (call("apply_diff", path="a.txt", diff="<<<<<<< SEARCH"), "valid_values", "diff_form"),
        (call("apply_diff", path="a.txt", diff=DIFF.replace(":start_line:2\n", "")), "valid_values", "diff_form"),
        (call("apply_diff", path="a.txt", diff=DIFF.replace("-------\n", "")), "valid_values", "diff_form"),
        (
            call("ask_followup_question", question="q", follow_up=[{"text": "a", "mode": None}]),
            "valid_values",
            "bad_value",
        ),
        (
            call("ask_followup_question", question="q", follow_up=[{"text": "a"}, {"text": "b"}]),
            "valid_values",
            "bad_value",
        ),
        (call("switch_mode", mode_slug="nowhere", reason="r"), "valid_values", "unknown_mode"),
        (call("switch_mode", mode_slug="code", reason="r"), "valid_values", "same_mode"),
        (call("new_task", mode="nowhere", message="m", todos=None), "valid_values", "unknown_mode"),
        (call("new_task", mode="code", message="m", todos="* x"), "valid_values", "bad_value"),
        (call("update_todo_list", todos="[ ]x"), "valid_values", "bad_value"),
        (call("skill", skill="none", args=None), "valid_values", "unknown_instruction"),
        (call("mcp--x--get_it"), "valid_values", "mcp_unknown_server"),
        (call("mcp--srv--x"), "valid_values", "mcp_unknown_tool"),
    ],
)
def test_the_form_of_a_call(one: ToolCall, layer: str, fault: str) -> None:
    found = verdict(READ, one)
    assert failure(found) == (layer, fault)
    assert not found.well_formed


@pytest.mark.parametrize(("mode", "fault"), [("", "bad_value"), ("nowhere", "unknown_mode")])
def test_a_suggestion_must_be_filled_and_its_mode_known(mode: str, fault: str) -> None:
    suggestions = [{"text": "a", "mode": None}, {"text": "b" if mode else " ", "mode": mode or None}]
    found = verdict(READ, call("ask_followup_question", question="q", follow_up=suggestions))
    assert failure(found) == ("valid_values", fault)


def test_a_null_for_an_optional_argument_counts_as_left_out() -> None:
    assert verdict(READ, call("read_file", path="a.txt", offset=None, mode="slice", limit=2000)).conforming


def test_a_mode_offers_its_own_tools_and_edits_its_own_files() -> None:
    write = call("write_to_file", path="n.py", content="x")
    assert failure(verdict(replace(READ, mode="ask"), write)) == ("offered", "not_allowed_in_mode")
    assert failure(verdict(replace(READ, mode="architect"), write)) == ("offered", "file_pattern")
    assert failure(verdict(replace(READ, mode="orchestrator"), call("mcp--srv--get_it"))) == (
        "offered",
        "not_allowed_in_mode",
    )


def test_xml_beside_a_call_is_no_form() -> None:
    found = verdict(READ, call("read_file", path="a.txt"), text="<read_file>")
    assert (failure(found), found.accepted) == (("parses", "stray_text"), True)


@pytest.mark.parametrize(
    ("calls", "fault"),
    [
        ([call("new_task", mode="code", message="m", todos=None), call("read_file", path="a.txt")], "after_new_task"),
        ([call("read_file", path="a.txt"), call("attempt_completion", result="r")], "several_calls"),
        ([call("attempt_completion", result="r"), call("update_todo_list", todos="[x] a")], "several_calls"),
        ([call("read_file", path="a.txt"), call("read_file", path="a.txt")], "several_calls"),
    ],
)
def test_calls_that_do_not_go_together(calls: list[ToolCall], fault: str) -> None:
    assert failure(verdict(READ, *calls)) == ("one_and_last", fault)


def test_completion_may_come_with_the_list() -> None:
    done = case("attempt_completion", free_text=(FreeText("result"),))
    found = verdict(done, call("update_todo_list", todos="[x] a"), call("attempt_completion", result="r"))
    assert failure(found) == ("no_needless_call", "needless_call")
    both = case(
        "attempt_completion",
        free_text=(FreeText("result"),),
        further=(Expected("update_todo_list", {"todos": "- [x] a"}),),
    )
    assert verdict(both, call("update_todo_list", todos="[x] a"), call("attempt_completion", result="r")).conforming


def test_several_calls_are_due_in_any_order() -> None:
    two = case(
        "read_file", {"path": "a.txt"}, further=(Expected("read_file", {"path": "b.txt"}),), workspace=("b.txt",)
    )
    one, other = call("read_file", path="a.txt"), call("read_file", path="b.txt")
    assert verdict(two, other, one).conforming
    missing = verdict(two, one)
    assert failure(missing) == ("right_tool", "wrong_tool")
    assert next(layer.score for layer in missing.layers if layer.name is LayerName.RIGHT_TOOL) == 0.5
    assert failure(verdict(two, one, other, call("list_files", path=".", recursive=True))) == (
        "no_needless_call",
        "needless_call",
    )
    assert failure(verdict(two, one, call("read_file", path="c.txt"))) == ("right_arguments", "wrong_arguments")


@pytest.mark.parametrize(
    ("of", "one", "fault"),
    [
        (READ, call("list_files", path=".", recursive=False), "wrong_tool"),
        (READ, call("read_file", path="b.txt"), "wrong_arguments"),
        (READ, call("read_file", path="a.txt", limit=5), "wrong_arguments"),
        (case("list_files", {"path": "a"}), call("list_files", path="a", recursive=True), "wrong_arguments"),
        (
            case("attempt_completion", free_text=(FreeText("result", ("all",)),)),
            call("attempt_completion", result="Done"),
            "free_text",
        ),
    ],
)
def test_the_right_tool_and_the_right_arguments(of: Case, one: ToolCall, fault: str) -> None:
    found = failure(verdict(of, one))
    assert found and found[1] == fault


@pytest.mark.parametrize(
    ("of", "one"),
    [
        (case("list_files", {"path": "a"}), call("list_files", path="./a/", recursive=False)),
        (
            case("search_files", {"path": "a", "regex": "x"}),
            call("search_files", path="a", regex="x", file_pattern="*"),
        ),
        (
            case("execute_command", {"command": "a && b"}),
            call("execute_command", command="a &amp;&amp; b", cwd=".", timeout=None),
        ),
        (case("update_todo_list", {"todos": "[x] a"}), call("update_todo_list", todos="- [X] a")),
        (
            case("use_mcp_tool", {"server_name": "srv", "tool_name": "get_it", "arguments": {"n": 1}}),
            call("mcp__srv__get-it", n=1.0),
        ),
        (
            case("search_files", {"path": "a", "regex": "x"}, choices=(Choice("regex", ("y",)),)),
            call("search_files", path="a", regex="y", file_pattern=None),
        ),
        (
            case("read_file", {"path": "a.txt", "offset": 2}, choices=(Choice("offset", (), True),)),
            call("read_file", path="a.txt"),
        ),
    ],
)
def test_arguments_are_compared_by_what_they_mean(of: Case, one: ToolCall) -> None:
    assert verdict(of, one).conforming


def test_one_and_true_are_not_the_same_for_a_servers_tool() -> None:
    of = case("use_mcp_tool", {"server_name": "srv", "tool_name": "get_it", "arguments": {"n": 1}})
    assert failure(verdict(of, call("mcp--srv--get_it", n=True))) == ("right_arguments", "wrong_arguments")


def test_an_edit_is_right_when_the_file_becomes_what_is_asked() -> None:
    of = case("apply_diff", {"path": "a.txt", "diff": DIFF}, result={"a.txt": "one\n2\n"})
    assert verdict(of, call("apply_diff", path="a.txt", diff=DIFF)).conforming
    assert verdict(of, call("apply_diff", path="a.txt", diff=DIFF.replace(":2\n-", ":1\n-"))).conforming
    wrong = verdict(of, call("apply_diff", path="a.txt", diff=DIFF.replace("=\n2", "=\n3")))
    assert (failure(wrong), wrong.accepted) == (("effect", "wrong_result"), True)
    nowhere = verdict(of, call("apply_diff", path="a.txt", diff=DIFF.replace("two", "zwei")))
    assert (failure(nowhere), nowhere.accepted) == (("effect", "no_match"), False)


def test_a_call_that_the_client_would_not_run_is_not_accepted() -> None:
    found = verdict(case("read_file", {"path": "gone"}), call("read_file", path="other"))
    assert (found.accepted, found.cause) == (False, Cause.WRONG_ARGUMENTS)


def test_where_no_call_is_due() -> None:
    quiet = case("none", no_call=True)
    assert verdict(quiet, text="It is 42.").conforming
    assert failure(verdict(quiet, call("read_file", path="a.txt"))) == ("no_needless_call", "needless_call")
    assert failure(verdict(quiet)) == ("task_done", "wrong_result")


@pytest.mark.parametrize(
    "text",
    [
        '<|python_tag|>read_file.call(path="a")',
        "<tool_cal",
        'Action: read_file\nAction Input: {"path": "a"}',
        "✿FUNCTION✿: read_file",
        '<｜DSML｜function_calls><｜DSML｜invoke name="read_file">',
        '<read_file path="a">',
    ],
)
def test_a_broken_call_where_none_is_due_is_no_abstention(text: str) -> None:
    assert failure(verdict(case("none", no_call=True), text=text)) == ("no_needless_call", "needless_call")


@pytest.mark.parametrize(
    "text",
    [
        "The function read_file (which needs a path) is not needed here.",
        "One would write `read_file(path='a')`, which is not needed.",
        "In C, `<function name>` stands for it.",
    ],
)
def test_words_on_a_function_are_no_call(text: str) -> None:
    assert verdict(case("none", no_call=True), text=text).conforming


def test_a_call_read_from_text_carries_its_place() -> None:
    text = f"So: {text_of_call('read_file', {'path': 'b.txt'})}"
    found = judge(READ, answer_from_text(text))
    layer = next(layer for layer in found.layers if layer.status is LayerStatus.FAILED)
    assert layer.span == (4, len(text))


@pytest.mark.parametrize("depth", [250, 990, 100_000])
def test_arguments_that_are_nested_too_deep_are_no_json(depth: int) -> None:
    for name in ("write_to_file", "mcp--srv--get_it"):
        found = verdict(READ, ToolCall(name, f'{{"content":{"[" * depth}{"]" * depth}}}'))
        assert failure(found) == ("parses", "bad_json")


def test_a_patch_is_judged_where_the_model_brings_it_in() -> None:
    state = ClientState()
    assert value_problem("apply_patch", {"patch": "x"}, state)
    assert value_problem("apply_patch", {"patch": "*** Begin Patch\n*** End Patch"}, state)
    assert not value_problem("apply_patch", {"patch": "*** Begin Patch\n*** Delete File: a\n*** End Patch"}, state)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([*TOOLS, "mcp--srv--get_it", "zzz"]),
            st.dictionaries(
                st.sampled_from(
                    ["path", "question", "follow_up", "todos", "mode", "message", "mode_slug", "diff", "skill"]
                ),
                st.sampled_from(
                    ["", "a.txt", "code", None, 0, True, [], {}, [{"text": "a", "mode": None}] * 2, [None]]
                ),
            ).map(json.dumps)
            | st.text(max_size=9),
        ),
        max_size=3,
    ),
    st.text(max_size=9),
)
def test_every_answer_gets_a_verdict(calls: list[tuple[str, str]], text: str) -> None:
    found = judge(READ, Answer(text, tuple(ToolCall(*one) for one in calls)))
    assert found.conforming == (found.cause is None)
    assert len(found.layers) == len(LayerName)
