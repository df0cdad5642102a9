from collections.abc import Mapping
from dataclasses import replace

import pytest

from services.protocols.cases import Case, Choice, Expected, FreeText, McpServer
from services.protocols.roo_xml.judge import judge
from services.protocols.verdict import Cause, LayerName, LayerStatus, Verdict
from tests.machine import takes_less_than

LIST = Case(
    "c",
    "list_files.flat",
    "list_files",
    "code",
    "List src.",
    Expected("list_files", {"path": "src", "recursive": False}),
    "List {}.",
    "<list_files>\n<path>src</path>\n<recursive>false</recursive>\n</list_files>",
)
GOOD = LIST.reference
FETCH = "<fetch_instructions><task>create_mode</task></fetch_instructions>"


def expecting(tool: str, arguments: Mapping[str, object], **fields: object) -> Case:
    extra = {key: fields.pop(key) for key in ("files_after", "free_text") if key in fields}
    expected = Expected(tool, arguments, extra.get("files_after", {}), extra.get("free_text", ()))  # type: ignore[arg-type]
    return replace(LIST, tool=tool, expected=expected, **fields)  # type: ignore[arg-type]


def failed(verdict: Verdict) -> list[LayerName]:
    return [layer.name for layer in verdict.layers if layer.status is LayerStatus.FAILED]


@pytest.mark.parametrize(
    "answer",
    [
        GOOD,
        "I look into it.\n\n" + GOOD + "\n ",
        "<think>a <list_files><path>b</path></list_files></think>" + GOOD,
        "<thinking>first</thinking>\n" + GOOD,
        "<list_files><path>./src/</path></list_files>",
    ],
)
def test_the_right_call_conforms_in_every_tolerated_form(answer: str) -> None:
    verdict = judge(LIST, answer)
    assert (verdict.conforming, verdict.accepted, verdict.well_formed, verdict.cause) == (True, True, True, None)
    assert verdict.tool == "list_files"


@pytest.mark.parametrize(
    ("answer", "cause", "layer", "accepted"),
    [
        ("", Cause.NO_CALL, LayerName.CALL_PRESENT, False),
        ("The folder holds files.", Cause.NO_CALL, LayerName.CALL_PRESENT, False),
        ("Use <b>src</b> and <br>.", Cause.NO_CALL, LayerName.CALL_PRESENT, False),
        ("<think>" + GOOD, Cause.NO_CALL, LayerName.CALL_PRESENT, False),
        ('{"name": "list_files", "arguments": {"path": "src"}}', Cause.WRONG_FORMAT, LayerName.CALL_PRESENT, False),
        ('<invoke name="list_files"></invoke>', Cause.WRONG_FORMAT, LayerName.CALL_PRESENT, False),
        ('<list_files path="src"/>', Cause.WRONG_FORMAT, LayerName.CALL_PRESENT, False),
        ("list_files(path='src')", Cause.WRONG_FORMAT, LayerName.CALL_PRESENT, False),
        ("<path>src</path>", Cause.WRONG_FORMAT, LayerName.CALL_PRESENT, False),
        ("<ls><path>src</path></ls>", Cause.UNKNOWN_TOOL, LayerName.CALL_PRESENT, False),
        ("<show_files>", Cause.UNKNOWN_TOOL, LayerName.CALL_PRESENT, False),
        ("<list_files><path>src</path>", Cause.UNCLOSED, LayerName.PARSES, True),
        ("<list_files><path>src</path>x</list_files>", Cause.WRONG_FORMAT, LayerName.PARSES, True),
        ("<list_files><path>a</path><path>src</path></list_files>", Cause.WRONG_FORMAT, LayerName.PARSES, True),
        ("<list_files><path>src</path><regex>a</regex></list_files>", Cause.WRONG_FORMAT, LayerName.PARSES, True),
        (GOOD + GOOD, Cause.SEVERAL_CALLS, LayerName.ONE_AND_LAST, True),
        (GOOD + "\nDone.", Cause.TEXT_AFTER, LayerName.ONE_AND_LAST, True),
        (f"```xml\n{GOOD}\n```", Cause.WRONG_FORMAT, LayerName.ONE_AND_LAST, True),
        (f"<tool_call>\n{GOOD}\n</tool_call>", Cause.WRONG_FORMAT, LayerName.ONE_AND_LAST, True),
        ("<list_files><path> </path></list_files>", Cause.MISSING_PARAMETER, LayerName.REQUIRED_PARAMETERS, False),
        (GOOD.replace("false", "no"), Cause.BAD_VALUE, LayerName.VALID_VALUES, True),
        (FETCH, Cause.WRONG_TOOL, LayerName.RIGHT_TOOL, True),
        ("<list_files><path>lib</path></list_files>", Cause.WRONG_ARGUMENTS, LayerName.RIGHT_ARGUMENTS, True),
        ("a" * 1_048_577, Cause.WRONG_FORMAT, LayerName.CALL_PRESENT, False),
    ],
)
def test_each_fault_has_its_layer_and_cause(answer: str, cause: Cause, layer: LayerName, accepted: bool) -> None:
    verdict = judge(LIST, answer)
    assert failed(verdict)[0] is layer
    assert verdict.cause is cause
    assert verdict.accepted is accepted
    assert not verdict.conforming
    assert verdict.sentence
    assert len(verdict.layers) == len(LayerName)


def test_an_answer_cut_by_the_limit_says_so() -> None:
    assert judge(LIST, "<list_files><path>sr", "length").cause is Cause.TRUNCATED_BY_LIMIT
    assert judge(LIST, "I will <list_fi", "length").cause is Cause.TRUNCATED_BY_LIMIT
    assert judge(LIST, "plain text that goes on", "length").cause is Cause.NO_CALL
    assert judge(LIST, GOOD, "length").conforming


def test_a_span_points_into_the_answer_as_it_came() -> None:
    answer = "<think>hm</think>" + GOOD + " more"
    layer = next(layer for layer in judge(LIST, answer).layers if layer.status is LayerStatus.FAILED)
    assert layer.span is not None
    assert answer[slice(*layer.span)].strip() == "more"


def test_several_faults_are_all_reported_and_the_first_gives_the_cause() -> None:
    verdict = judge(LIST, "<list_files><path>lib</path></list_files> bye")
    assert failed(verdict) == [LayerName.ONE_AND_LAST, LayerName.RIGHT_ARGUMENTS]
    assert verdict.cause is Cause.TEXT_AFTER


def test_a_tool_that_the_mode_does_not_offer_is_forbidden() -> None:
    case = expecting("execute_command", {"command": "ls"}, mode="ask")
    verdict = judge(case, "<execute_command><command>ls</command></execute_command>")
    assert (verdict.cause, verdict.accepted) == (Cause.FORBIDDEN_TOOL, False)
    note = expecting("write_to_file", {"path": "a.py"}, mode="architect")
    verdict = judge(note, "<write_to_file><path>a.py</path><content>x</content></write_to_file>")
    assert verdict.cause is Cause.FORBIDDEN_TOOL
    assert "may not edit a.py" in verdict.sentence


def test_files_to_read_may_come_in_any_order_and_must_exist() -> None:
    files = [{"path": "a.py", "line_ranges": []}, {"path": "b.py", "line_ranges": [[1, 5]]}]
    case = expecting("read_file", {"files": files}, workspace=("a.py", "b.py", "lib/c.py"))
    one, two = "<file><path>a.py</path></file>", "<file><path>b.py</path><line_range>1-5</line_range></file>"
    assert judge(case, f"<read_file><args>{two}{one}</args></read_file>").conforming
    assert judge(case, f"<read_file><args>{one}</args></read_file>").cause is Cause.WRONG_ARGUMENTS
    for path in ("nowhere.py", "lib"):
        answer = f"<read_file><args><file><path>{path}</path></file></args></read_file>"
        assert not judge(case, answer).accepted


@pytest.mark.parametrize(
    ("args", "cause", "accepted"),
    [
        ("<path>a.py</path>", Cause.MISSING_PARAMETER, False),
        ("<file><path>a.py</path></fil", Cause.BAD_VALUE, False),
        ("<file><path>a.py</path><line_range>5-1</line_range></file>", Cause.BAD_VALUE, False),
        ("<file><path>a.py</path><line_range>all</line_range></file>", Cause.BAD_VALUE, True),
        ("<file><path>a.py<b>x</b></path></file>", Cause.BAD_VALUE, False),
    ],
)
def test_bad_read_arguments_are_bad_values(args: str, cause: Cause, accepted: bool) -> None:
    case = expecting("read_file", {"files": [{"path": "a.py", "line_ranges": []}]})
    verdict = judge(case, f"<read_file><args>{args}</args></read_file>")
    assert (verdict.cause, verdict.accepted) == (cause, accepted)


def test_a_range_beyond_a_known_file_is_not_run() -> None:
    case = expecting("read_file", {"files": []}, files={"a.py": "one line"})
    answer = "<read_file><args><file><path>a.py</path><line_range>9-10</line_range></file></args></read_file>"
    assert not judge(case, answer).accepted


def test_commands_are_compared_after_decoding_and_folders_after_cleaning() -> None:
    case = expecting("execute_command", {"command": "a && b", "cwd": "lib"})
    call = "<execute_command><command>{}</command><cwd>./lib/</cwd></execute_command>"
    assert judge(case, call.format("a &amp;&amp; b")).conforming
    assert judge(case, call.format("a & b")).cause is Cause.WRONG_ARGUMENTS


MCP = (McpServer("tracker", ("create", "close")),)


@pytest.mark.parametrize(
    ("server", "tool", "arguments", "cause", "accepted"),
    [
        ("tracker", "create", '{ "n": 2, "title": "x" }', None, True),
        ("tracker", "create", '{"title": "x", "n": "2"}', Cause.WRONG_ARGUMENTS, True),
        ("tracker", "create", "{title: x}", Cause.WRONG_FORMAT, False),
        ("tracker", "create", '{"n": NaN}', Cause.WRONG_FORMAT, False),
        ("tracker", "create", '{"n": 2.0, "title": "\\u0078"}', None, True),
        ("tracker", "create", "[1]", Cause.WRONG_FORMAT, True),
        ("jira", "create", "{}", Cause.BAD_VALUE, False),
        ("tracker", "delete", "{}", Cause.BAD_VALUE, False),
    ],
)
def test_server_calls(server: str, tool: str, arguments: str, cause: Cause | None, accepted: bool) -> None:
    wanted = {"server_name": "tracker", "tool_name": "create", "arguments": '{"title": "x", "n": 2}'}
    case = expecting("use_mcp_tool", wanted, mcp=MCP)
    answer = (
        f"<use_mcp_tool><server_name>{server}</server_name><tool_name>{tool}</tool_name>"
        f"<arguments>{arguments}</arguments></use_mcp_tool>"
    )
    verdict = judge(case, answer)
    assert (verdict.cause, verdict.accepted) == (cause, accepted)


@pytest.mark.parametrize(
    ("question", "options", "cause"),
    [
        ("Which cache?", "ab", None),
        ("Which cache shall it be?", "ba", None),
        ("Which cache", "ab", Cause.WRONG_ARGUMENTS),
        ("Which caches?", "ab", Cause.WRONG_ARGUMENTS),
        ("Which cache?", "ac", Cause.WRONG_ARGUMENTS),
        ("Which cache?", "a", Cause.BAD_VALUE),
        ("Which cache?", "abcde", Cause.BAD_VALUE),
        ("Which cache?", ["a", " "], Cause.BAD_VALUE),
        ("Which cache?", ["a", "b</suggest><suggest mode='nope'>c"], Cause.BAD_VALUE),
        ("Which cache?", ["a", "x < y"], Cause.BAD_VALUE),
    ],
)
def test_questions(question: str, options: str | list[str], cause: Cause | None) -> None:
    wanted = {"question": "Which cache?", "follow_up": [{"text": "a"}, {"text": "b"}]}
    rule = FreeText("question", ("cache",), question=True)
    case = expecting("ask_followup_question", wanted, free_text=(rule,))
    follow_up = "".join(f"<suggest>{option}</suggest>" for option in options)
    answer = (
        f"<ask_followup_question><question>{question}</question><follow_up>{follow_up}</follow_up>"
        "</ask_followup_question>"
    )
    assert judge(case, answer).cause is cause


@pytest.mark.parametrize(
    ("slug", "cause", "accepted"),
    [
        ("debug", None, True),
        ("ask", Cause.WRONG_ARGUMENTS, True),
        ("code", Cause.BAD_VALUE, False),
        ("Debug", Cause.BAD_VALUE, False),
    ],
)
def test_mode_changes(slug: str, cause: Cause | None, accepted: bool) -> None:
    case = expecting("switch_mode", {"mode_slug": "debug", "reason": "r"}, free_text=(FreeText("reason"),))
    verdict = judge(case, f"<switch_mode><mode_slug>{slug}</mode_slug><reason>because</reason></switch_mode>")
    assert (verdict.cause, verdict.accepted) == (cause, accepted)


def test_a_subtask_may_carry_a_checklist_of_items_only() -> None:
    case = expecting("new_task", {"mode": "code", "message": "m"}, free_text=(FreeText("message", ("a.py",)),))
    call = "<new_task><mode>{}</mode><message>see a.py</message>{}</new_task>"
    assert judge(case, call.format("code", "")).conforming
    assert judge(case, call.format("code", "<todos>do it</todos>")).cause is Cause.BAD_VALUE
    assert not judge(case, call.format("nowhere", "")).accepted


@pytest.mark.parametrize(
    ("todos", "cause"),
    [
        ("[x] a\n- [ ] b", None),
        ("[ ] b\n[x] a", Cause.WRONG_ARGUMENTS),
        ("[x] a\n* [ ] b", Cause.BAD_VALUE),
        ("[x] a", Cause.WRONG_ARGUMENTS),
    ],
)
def test_checklists_are_compared_by_their_items(todos: str, cause: Cause | None) -> None:
    case = expecting("update_todo_list", {"todos": "[x] a\n[ ] b"})
    assert judge(case, f"<update_todo_list><todos>\n{todos}\n</todos></update_todo_list>").cause is cause


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ("x = 1\ny = 2", None),
        ("\nx = 1\ny = 2\n", None),
        ("```py\nx = 1\ny = 2\n```", None),
        ("1 | x = 1\n2 | y = 2", None),
        ("x = 1", Cause.WRONG_RESULT),
        ("x = 1\ny = 2 ", Cause.WRONG_RESULT),
    ],
)
def test_a_written_file_is_judged_by_its_text(content: str, cause: Cause | None) -> None:
    case = expecting("write_to_file", {"path": "a.py", "content": "?"}, files_after={"a.py": "x = 1\ny = 2\n"})
    verdict = judge(case, f"<write_to_file><path>./a.py</path><content>{content}</content></write_to_file>")
    assert verdict.cause is cause


HEAD = ":start_line:2\n-------\n"


@pytest.mark.parametrize(
    ("diff", "cause", "accepted"),
    [
        (f"<<<<<<< SEARCH\n{HEAD}b\n=======\nB\n>>>>>>> REPLACE", None, True),
        ("<<<<<<< SEARCH\n-------\nb\n=======\nB\n>>>>>>> REPLACE", Cause.BAD_VALUE, True),
        ("<<<<<<< SEARCH\n:start_line:2\nb\n=======\nB\n>>>>>>> REPLACE", Cause.BAD_VALUE, True),
        ("b -> B", Cause.BAD_VALUE, False),
        (f"<<<<<<< SEARCH\n{HEAD}b\n=======\nB", Cause.BAD_VALUE, False),
        (f"<<<<<<< SEARCH\n{HEAD}x\n=======\nB\n>>>>>>> REPLACE", Cause.EFFECT_FAILED, False),
        (f"<<<<<<< SEARCH\n{HEAD}b\n=======\nBB\n>>>>>>> REPLACE", Cause.WRONG_RESULT, True),
    ],
)
def test_a_diff_is_judged_by_its_form_and_its_effect(diff: str, cause: Cause | None, accepted: bool) -> None:
    case = expecting("apply_diff", {"path": "a", "diff": "?"}, files={"a": "a\nb\nc\n"}, files_after={"a": "a\nB\nc\n"})
    verdict = judge(case, f"<apply_diff><path>a</path><diff>\n{diff}\n</diff></apply_diff>")
    assert (verdict.cause, verdict.accepted) == (cause, accepted)


def test_a_diff_on_another_file_is_not_run() -> None:
    case = expecting("apply_diff", {"path": "a", "diff": "?"}, files={"a": "a\n"}, files_after={"a": "A\n"})
    diff = "<<<<<<< SEARCH\n:start_line:1\n-------\na\n=======\nA\n>>>>>>> REPLACE"
    verdict = judge(case, f"<apply_diff><path>b</path><diff>{diff}</diff></apply_diff>")
    assert (verdict.cause, verdict.accepted) == (Cause.WRONG_ARGUMENTS, False)


@pytest.mark.parametrize(
    ("answer", "accepted"),
    [
        ("<browser_action><action>launch</action><url>http://a</url></browser_action>", True),
        ("<browser_action><action>click</action></browser_action>", False),
        ("<browser_action><action>fly</action></browser_action>", False),
        ("<run_slash_command><command>x</command></run_slash_command>", False),
        ("<edit_file><file_path>a</file_path></edit_file>", False),
        ("<attempt_completion><result>x</result></attempt_completion>", True),
    ],
)
def test_the_client_runs_only_what_its_own_checks_let_through(answer: str, accepted: bool) -> None:
    assert judge(LIST, answer).accepted is accepted


@pytest.mark.parametrize(
    "piece",
    [
        *("<a1>", "<think>", "<", "< ", "```", '"name" ', "read_file ", "<tool_call>", "<list_files ", "<b><a2>"),
        *("<read_file><args><file><path>a<line_range>", "<apply_diff><path>a</path><diff>", "<path></path>", "\u2003"),
        *("<ask_followup_question><question>?</question><follow_up><suggest>", "<list_files><path>src</path>"),
        *(
            "<update_todo_list><todos>[",
            "<use_mcp_tool><server_name>tracker</server_name><tool_name>create</tool_name>",
        ),
    ],
)
def test_hostile_answers_of_a_megabyte_are_judged_in_less_than_two_seconds(piece: str) -> None:
    answers = piece * (1_000_000 // len(piece)), piece + piece[-12:] * (1_000_000 // 12)
    assert takes_less_than(2, lambda: [judge(LIST, answer).layers[0] for answer in answers])


def test_deep_json_in_arguments_is_bad_json() -> None:
    case = expecting("use_mcp_tool", {"arguments": "{}"}, mcp=MCP)
    call = "<use_mcp_tool><server_name>tracker</server_name><tool_name>create</tool_name><arguments>{}</arguments>"
    verdict = judge(case, call.format("[" * 90_000) + "</use_mcp_tool>")
    assert (verdict.cause, verdict.accepted) == (Cause.WRONG_FORMAT, False)


SILENT = replace(LIST, expected=Expected("list_files", no_call=True, free_text=(FreeText("text", ("src",)),)))


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ("It is in src.", None),
        ("It is in lib.", Cause.WRONG_RESULT),
        ("  ", Cause.WRONG_RESULT),
        ("<think>src</think>", Cause.WRONG_RESULT),
        (GOOD, Cause.NEEDLESS_CALL),
        ("It is in src.\n" + GOOD, Cause.NEEDLESS_CALL),
        ("The tool list_files (of the path src) is not needed.", None),
        ('{"name": "list_files", "arguments": {"path": "src"', Cause.NEEDLESS_CALL),
        ('[TOOL_CALLS] [{"name": "list_files", "arguments": {"path": "src"}}]', Cause.NEEDLESS_CALL),
        ('<list_files path="src">', Cause.NEEDLESS_CALL),
    ],
)
def test_where_no_call_is_due_the_answer_must_say_something_and_call_nothing(answer: str, cause: Cause | None) -> None:
    verdict = judge(SILENT, answer)
    assert (verdict.conforming, verdict.cause) == (cause is None, cause)


@pytest.mark.parametrize(
    ("answer", "conforms"),
    [
        ("<list_files><path>src</path></list_files>", True),
        ("<list_files><path>lib/</path></list_files>", True),
        ("<list_files><path>doc</path></list_files>", False),
        ("<search_files><path>src</path><regex>a</regex></search_files>", True),
        ("<search_files><path>src</path><regex>a</regex><file_pattern>*.py</file_pattern></search_files>", True),
        ("<search_files><path>src</path><regex>a</regex><file_pattern>*.md</file_pattern></search_files>", False),
    ],
)
def test_an_argument_may_have_several_right_values_or_be_left_out(answer: str, conforms: bool) -> None:
    listing = replace(LIST, expected=replace(LIST.expected, choices=(Choice("path", ("lib",)),)))
    choice = Choice("file_pattern", (), optional=True)
    pattern = {"path": "src", "regex": "a", "file_pattern": "*.py"}
    searching = replace(LIST, tool="search_files", expected=Expected("search_files", pattern, choices=(choice,)))
    case = listing if "list_files" in answer else searching
    assert judge(case, answer).conforming is conforms


def test_a_refused_edit_has_no_effect_to_judge() -> None:
    call = "<write_to_file><path>a.py</path><content>x</content></write_to_file>"
    case = expecting("write_to_file", {"path": "a.py"}, files_after={"a.py": "x"}, mode="ask")
    verdict = judge(case, call)
    assert failed(verdict) == [LayerName.OFFERED]
    assert verdict.layers[list(LayerName).index(LayerName.EFFECT)].status is LayerStatus.NOT_APPLICABLE


def test_a_hidden_file_is_not_written_though_the_call_is_right() -> None:
    call = "<write_to_file><path>a.py</path><content>x</content></write_to_file>"
    case = expecting("write_to_file", {"path": "a.py"}, files_after={"a.py": "x"}, files={".rooignore": "*.py"})
    verdict = judge(case, call)
    assert (verdict.accepted, failed(verdict), verdict.cause) == (False, [LayerName.EFFECT], Cause.EFFECT_FAILED)
