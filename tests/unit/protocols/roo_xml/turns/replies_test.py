import pytest

from services.protocols.cases import Case, Expected, McpServer
from services.protocols.roo_xml.prompt import user_turn
from services.protocols.roo_xml.turn import replies, take_turn
from services.protocols.turn import Answer, ClientState

ADVICE = "Several files can be read in one call; name every file that matters now."
FILES = {"a.py": "x\n", "b.py": "y\n", "c.py": "", "d.py": ""}


def said(text: str, state: ClientState | None = None) -> str:
    state = state if state is not None else ClientState(files=dict(FILES))
    (message,) = replies(state, take_turn(state, Answer(text)))
    assert message["role"] == "user"
    return message["content"]


def reading(*paths: str) -> str:
    inside = "".join(f"<file><path>{path}</path></file>" for path in paths)
    return f"<read_file><args>{inside}</args></read_file>"


@pytest.mark.parametrize(
    ("text", "title"),
    [
        (reading("a.py"), f"[read_file for 'a.py'. {ADVICE}]"),
        (reading("a.py", "b.py"), "[read_file for 'a.py', 'b.py']"),
        (reading("a.py", "b.py", "c.py", "d.py"), "[read_file for 4 files]"),
        ("<read_file></read_file>", "[read_file without a path]"),
        ("<read_file><args><file</args></read_file>", "[read_file with args that cannot be read]"),
        ("<list_files><path>src</path></list_files>", "[list_files for 'src']"),
        ("<search_files><path>.</path><regex>a</regex></search_files>", "[search_files for 'a']"),
        (
            "<search_files><path>.</path><regex>a</regex><file_pattern>*.py</file_pattern></search_files>",
            "[search_files for 'a' in '*.py']",
        ),
        ("<codebase_search><query>q</query></codebase_search>", "[codebase_search for 'q']"),
        ("<write_to_file><path>n</path><content>x</content></write_to_file>", "[write_to_file for 'n']"),
        ("<execute_command><command>ls</command></execute_command>", "[execute_command for 'ls']"),
        ("<ask_followup_question><question>q</question></ask_followup_question>", "[ask_followup_question for 'q']"),
        ("<use_mcp_tool><server_name>s</server_name></use_mcp_tool>", "[use_mcp_tool for 's']"),
        ("<attempt_completion></attempt_completion>", "[attempt_completion]"),
        ("<update_todo_list></update_todo_list>", "[update_todo_list]"),
        (
            "<switch_mode><mode_slug>ask</mode_slug><reason>r</reason></switch_mode>",
            "[switch_mode to 'ask' because: r]",
        ),
        ("<switch_mode><mode_slug>ask</mode_slug></switch_mode>", "[switch_mode to 'ask']"),
        ("<new_task><mode>code</mode><message>m</message></new_task>", "[new_task in 💻 Code mode: 'm']"),
    ],
)  # fmt: skip
def test_a_result_is_headed_by_the_tool_and_what_matters_of_its_call(text: str, title: str) -> None:
    assert said(text).startswith(f"{title} Result:\n\n")


def test_a_message_closes_with_the_environment_as_it_is_after_the_turn() -> None:
    state = ClientState(todos=[("completed", "a"), ("pending", "b")], mcp=(McpServer("s", ("t",)),))
    message = said("<switch_mode><mode_slug>ask</mode_slug></switch_mode>", state)
    assert message.endswith(
        "\n\n<environment_details>\n# Current Mode\n<slug>ask</slug>\n\n# MCP Servers\ns: t\n\n# Todo List\n"
        "| # | Content | Status |\n| 1 | a | Completed |\n| 2 | b | Pending |\n</environment_details>"
    )


def test_each_call_that_was_not_looked_at_has_its_sentence() -> None:
    message = said("<list_files><path>.</path></list_files>" + reading("a.py"))
    assert "\n\n[read_file] was not carried out" in message
    denying = ClientState(denied_tools=frozenset(("list_files",)))
    denied = said("<list_files><path>.</path></list_files>" + reading("a.py"), denying)
    assert "The user did not allow this." in denied
    assert "since the user did not allow an earlier call" in denied


def test_an_answer_without_a_call_is_told_how_calls_are_written() -> None:
    message = said("Well.")
    assert message.startswith("Your answer called no tool")
    assert all(part in message for part in ("<tool_name>", "attempt_completion", "ask_followup_question"))


def test_at_the_mistake_limit_the_users_guidance_comes_along() -> None:
    state = ClientState(mistakes=2)
    assert "The user says:" in said("<list_files></list_files>", state)
    assert "The user says:" not in said("<list_files></list_files>", ClientState(mistakes=1))
    assert "The user says:" not in said("<list_files></list_files>", ClientState(mistakes=9, mistake_limit=0))


@pytest.mark.parametrize("text", ["", "<attempt_completion><result>r</result></attempt_completion>"])
def test_nothing_is_said_to_a_completion_or_to_an_empty_answer(text: str) -> None:
    state = ClientState()
    assert replies(state, take_turn(state, Answer(text))) == []


def test_the_first_message_reads_as_it_always_did() -> None:
    case = Case(
        *("c", "k", "list_files", "code", "Do it.", Expected("list_files"), "t", "r"),
        files={"a.py": "x\ny\n"},
        open_tabs=("a.py",),
        mcp=(McpServer("s", ("t", "u")),),
        todos=(("in_progress", "b"),),
        workspace=("a.py", "src/"),
    )
    assert user_turn(case) == (
        '<task>\nDo it.\n</task>\n\n<file_content path="a.py">\n1 | x\n2 | y\n</file_content>\n\n'
        "<environment_details>\n# VSCode Open Tabs\na.py\n\n# Current Mode\n<slug>code</slug>\n\n"
        "# MCP Servers\ns: t, u\n\n# Workspace Files\na.py\nsrc/\n\n# Todo List\n| # | Content | Status |\n"
        "| 1 | b | In Progress |\n</environment_details>"
    )
