"""Where the classic client differs from the reference."""

import pytest

from services.protocols.cases import Case, Expected, McpServer
from services.protocols.roo_xml.editions import CLASSIC
from services.protocols.roo_xml.judge import judge
from services.protocols.roo_xml.parse import ToolBlock, parse
from services.protocols.roo_xml.profile import CLASSIC_PROFILE, PROFILE, RooXml
from services.protocols.roo_xml.turn import take_turn
from services.protocols.turn import Answer, ClientState, TurnOutcome

FILES = {"a.py": "one\ntwo\n"}
DONE = "<attempt_completion><result>Done.</result></attempt_completion>"
LIST = "<list_files><path>.</path></list_files>"


def turn(text: str, state: ClientState | None = None) -> TurnOutcome:
    return take_turn(state if state is not None else ClientState(files=dict(FILES)), Answer(text), CLASSIC)


def insert(line: str, content: str = "new", path: str = "a.py") -> str:
    return f"<insert_content><path>{path}</path><line>{line}</line><content>{content}</content></insert_content>"


def write(content: str, line_count: str) -> str:
    count = f"<line_count>{line_count}</line_count>"
    return f"<write_to_file><path>a.py</path><content>\n{content}\n</content>{count}</write_to_file>"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("0", "one\ntwo\nnew\n"),
        ("1", "new\none\ntwo\n"),
        ("2", "one\nnew\ntwo\n"),
        ("3", "one\ntwo\nnew\n"),
        ("99", "one\ntwo\n\nnew"),
        ("2nd", "one\nnew\ntwo\n"),
    ],
)
def test_lines_are_inserted_before_a_line_or_appended(line: str, text: str) -> None:
    state = ClientState(files=dict(FILES), mistakes=1)
    assert turn(insert(line), state).calls[0].codes == ()
    assert (state.files["a.py"], state.mistakes) == (text, 0)


def test_inserting_makes_a_file_only_at_its_beginning() -> None:
    state = ClientState()
    assert turn(insert("1", "x\ny", "b.py"), state).calls[0].codes == ()
    outcome = turn(insert("2", "x", "c.py"), state)
    assert (state.files, outcome.calls[0].codes) == ({"b.py": "x\ny"}, ("file_not_found",))
    assert (state.mistakes, dict(outcome.failures)) == (1, {"insert_content": 1})


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("<insert_content></insert_content>", "missing_param:path"),
        ("<insert_content><path>a.py</path></insert_content>", "missing_param:line"),
        ("<insert_content><path>a.py</path><line>1</line></insert_content>", "missing_param:content"),
        (insert("-1"), "bad_line"),
        (insert("end"), "bad_line"),
    ],
)
def test_an_insertion_needs_path_line_and_content(text: str, code: str) -> None:
    state = ClientState(files=dict(FILES))
    outcome = turn(text, state)
    assert outcome.calls[0].codes == (code,)
    assert (state.mistakes, dict(outcome.failures), outcome.turn_failed) == (1, {"insert_content": 1}, False)


def test_an_insertion_heeds_folders_hidden_files_and_modes() -> None:
    state = ClientState(files={**FILES, ".rooignore": "*.key", "src/b.py": ""}, mistakes=1)
    assert turn(insert("1", path="x.key"), state).calls[0].codes == ("ignored_file",)
    assert turn(insert("1", path="src"), state).calls[0].codes == ("is_directory",)
    state.mode = "architect"
    assert turn(insert("1"), state).calls[0].codes == ("file_pattern",)
    assert turn(insert("1", path="a.md"), state).calls[0].codes == ()
    state.mode = "ask"
    assert turn(insert("1"), state).calls[0].codes == ("not_allowed_in_mode",)


def test_definitions_can_be_named_where_reading_is_allowed() -> None:
    text = "<list_code_definition_names><path>src</path></list_code_definition_names>"
    assert turn(text).calls[0].codes == ()
    assert turn(text.replace("src", "")).calls[0].codes == ("missing_param:path",)
    assert turn(text, ClientState(mode="orchestrator")).calls[0].codes == ("not_allowed_in_mode",)


@pytest.mark.parametrize("tool", ["apply_patch", "search_and_replace", "search_replace", "edit_file"])
def test_the_later_editing_tools_are_text(tool: str) -> None:
    assert turn(f"<{tool}><path>a</path></{tool}>").codes == ("no_tool",)


@pytest.mark.parametrize("tool", ["insert_content", "list_code_definition_names"])
def test_the_reference_does_not_know_the_classic_tools(tool: str) -> None:
    assert take_turn(ClientState(), Answer(f"<{tool}><path>a</path></{tool}>")).codes == ("no_tool",)


def test_line_count_is_a_parameter_and_the_later_ones_are_not() -> None:
    inside = "<line_count>3</line_count><patch>p</patch><files>f</files><old_string>o</old_string>"
    (block,) = parse(f"<list_files>{inside}</list_files>", CLASSIC)
    (reference,) = parse(f"<list_files>{inside}</list_files>")
    assert isinstance(block, ToolBlock) and isinstance(reference, ToolBlock)
    assert (dict(block.params), sorted(reference.params)) == ({"line_count": "3"}, ["files", "old_string", "patch"])


def test_absent_content_is_a_mistake_and_empty_content_is_not() -> None:
    state = ClientState()
    outcome = turn("<write_to_file><path>a.py</path></write_to_file>", state)
    assert (outcome.calls[0].codes, state.mistakes) == (("missing_param:content",), 1)
    assert dict(outcome.failures) == {"write_to_file": 1}
    turn("<write_to_file><path>a.py</path><content></content></write_to_file>", state)
    assert (state.files, state.mistakes) == ({"a.py": ""}, 0)


@pytest.mark.parametrize(
    ("num_lines", "line", "line_count", "refused"),
    [
        (80, "# ... rest of code", "100", True),
        (81, "# ... rest of code", "100", False),
        (80, "# ... rest of code", "99", False),
        (10, "# ... rest of code", "", False),
        (10, "# ... rest of code", "many", False),
        (10, "# ... rest of code", "100 lines", True),
        (10, "  // unchanged", "200", True),
        (10, "<!-- existing -->", "200", True),
        (10, "rest", "200", False),
        (10, "# restore", "200", False),
        (10, "# one rest", "200", False),
    ],
)
def test_content_that_is_much_shorter_than_counted_and_says_why_is_refused(
    num_lines: int, line: str, line_count: str, refused: bool
) -> None:
    state = ClientState(files={"a.py": "# one rest\n"}, mistakes=1)
    outcome = turn(write("\n".join([line, *["x"] * (num_lines - 1)]), line_count), state)
    assert outcome.calls[0].codes == (("truncated_content",) if refused else ())
    assert (state.files["a.py"] == "# one rest\n") is refused
    assert (state.mistakes, dict(outcome.failures)) == (0, {})


def test_the_first_answer_without_a_call_is_a_mistake_already() -> None:
    state = ClientState()
    turn("Well.", state)
    assert state.mistakes == 1


def test_a_follow_up_that_cannot_be_read_is_a_recorded_mistake() -> None:
    state = ClientState()
    text = "<ask_followup_question><question>q</question><follow_up><suggest>a</follow_up></ask_followup_question>"
    outcome = turn(text, state)
    assert (outcome.calls[0].codes, state.mistakes) == (("follow_up_xml",), 1)
    assert dict(outcome.failures) == {"ask_followup_question": 1}
    assert turn(text.replace("<question>q</question>", "")).calls[0].codes == ("missing_param:question",)


def test_an_accepted_completion_is_a_result_so_nothing_runs_after_it() -> None:
    outcome = turn(DONE + LIST)
    assert [call.codes for call in outcome.calls] == [(), ("second_tool",)]
    assert outcome.completed == "Done."


@pytest.mark.parametrize(
    "text",
    [
        "<list_files></list_files>",
        "<read_file><args><file><path>gone</path></file></args></read_file>",
        "<apply_diff><path>gone</path><diff>x</diff></apply_diff>",
        "<switch_mode><mode_slug>nope</mode_slug></switch_mode>",
        "<use_mcp_tool><server_name>a</server_name><tool_name>x</tool_name></use_mcp_tool>",
        "<browser_action></browser_action>",
    ],
)
def test_no_failure_marks_the_turn(text: str) -> None:
    state = ClientState(mcp=(McpServer("a", ("b",)),))
    assert turn(text, state).turn_failed is False
    assert take_turn(ClientState(), Answer(text)).turn_failed is True


@pytest.mark.parametrize(
    ("mode", "text", "code"),
    [
        ("ask", "<execute_command><command>ls</command></execute_command>", "not_allowed_in_mode"),
        ("architect", insert("1"), "file_pattern"),
        ("architect", "<apply_diff><args><file><path>a.py</path></file></args></apply_diff>", "file_pattern"),
    ],
)
def test_a_refused_call_counts_as_an_attempt(mode: str, text: str, code: str) -> None:
    state = ClientState(mode=mode, mistakes=1)
    outcome = turn(text + LIST, state)
    assert [call.codes for call in outcome.calls] == [(code,), ("second_tool",)]
    assert (state.mistakes, dict(outcome.failures)) == (2, {})
    assert dict(outcome.attempts) == {outcome.calls[0].tool: 1}


@pytest.mark.parametrize(
    ("inside", "classic", "reference"),
    [
        ("<action>press</action><text>Enter</text>", "missing_param:action", None),
        ("<action>screenshot</action><path>a.png</path>", "missing_param:action", None),
        ("<action>click</action><coordinate>450,300</coordinate>", None, "missing_param:coordinate"),
        ("<action>hover</action><coordinate>450,300@900x600</coordinate>", None, None),
        ("<action>click</action>", "missing_param:coordinate", "missing_param:coordinate"),
        ("<action>type</action><text>a</text>", None, None),
        ("<action>resize</action>", "missing_param:size", "missing_param:size"),
        ("<action>scroll_down</action>", None, None),
        ("<action>launch</action>", "missing_param:url", "missing_param:url"),
    ],
)
def test_the_browser_knows_other_actions_and_plain_points(
    inside: str, classic: str | None, reference: str | None
) -> None:
    text = f"<browser_action>{inside}</browser_action>"
    assert turn(text).calls[0].codes == ((classic,) if classic else ())
    assert take_turn(ClientState(), Answer(text)).calls[0].codes == ((reference,) if reference else ())


def test_a_huge_line_appends() -> None:
    for line in ("9" * 400, "9007199254740993"):
        state = ClientState(files=dict(FILES))
        assert turn(insert(line), state).calls[0].codes == ()
        assert state.files["a.py"] == "one\ntwo\n\nnew"


def test_the_classic_profile_is_a_variant_of_its_own() -> None:
    assert (CLASSIC_PROFILE.id, CLASSIC_PROFILE.version) == ("roo_xml_classic", "3.31.3")
    assert (PROFILE.id, PROFILE.version) == ("roo_xml", "3.36.16")
    assert CLASSIC_PROFILE.digest != PROFILE.digest
    assert CLASSIC_PROFILE.digest == RooXml(classic=True).digest
    state = ClientState()
    CLASSIC_PROFILE.take_turn(state, Answer("Well."))
    assert state.mistakes == 1


def test_the_judge_knows_the_classic_tools() -> None:
    expected = Expected("insert_content", {"path": "a.py", "line": "1", "content": "new"}, {"a.py": "new\none\ntwo\n"})
    case = Case("c", "insert", "insert_content", "code", "Insert.", expected, "t", insert("1"), FILES)
    assert judge(case, insert("1"), edition=CLASSIC).conforming
    assert not judge(case, insert("2"), edition=CLASSIC).conforming
    assert not judge(case, insert("1")).accepted
    assert CLASSIC_PROFILE.judge(case, Answer(insert("1"))).accepted
