"""What vectors ask of the two clients that speak XML."""

from typing import Any

import pytest

from services.protocols.roo_xml.profile import CLASSIC_PROFILE, PROFILE

INSERT = "<insert_content><path>a.py</path><line>1</line><content>new</content></insert_content>"


def asked(operation: str, profile: Any = CLASSIC_PROFILE, **given: Any) -> Any:
    return profile.vector_operations[operation](given)


def test_each_client_parses_its_own_tools() -> None:
    params = {"path": "a.py", "line": "1", "content": "new"}
    block = {"type": "tool", "name": "insert_content", "params": params, "partial": False}
    assert asked("parse", text=INSERT) == {"blocks": [block]}
    assert asked("parse", PROFILE, text=INSERT) == {"blocks": [{"type": "text", "text": INSERT}]}
    patch = "<apply_patch><patch>p</patch></apply_patch>"
    assert asked("parse", text=patch) == {"blocks": [{"type": "text", "text": patch}]}
    assert asked("parse", pieces=[["<list_files><line_count>", 1], ["1", 3]])["blocks"][0]["params"] == {
        "line_count": "111"
    }


@pytest.mark.parametrize(
    ("tool", "mode", "params", "classic", "reference"),
    [
        ("insert_content", "code", {}, None, "unknown_tool"),
        ("insert_content", "ask", {}, "not_allowed_in_mode", "unknown_tool"),
        ("insert_content", "architect", {"path": "a.py", "line": "0"}, "file_pattern", "unknown_tool"),
        ("list_code_definition_names", "ask", {}, None, "unknown_tool"),
        ("mcp_server_tool", "code", {}, "not_allowed_in_mode", None),
        ("no_such_tool", "code", {}, "not_allowed_in_mode", "unknown_tool"),
        ("edit_file", "code", {}, "not_allowed_in_mode", None),
        ("browser_action", "ask", {}, None, None),
        ("write_to_file", "architect", {"args": "<path>a.py</path>"}, "file_pattern", "file_pattern"),
        ("new_task", "nowhere", {}, None, None),
    ],
)
def test_each_client_checks_its_own_modes(
    tool: str, mode: str, params: dict[str, str], classic: str | None, reference: str | None
) -> None:
    for profile, code in ((CLASSIC_PROFILE, classic), (PROFILE, reference)):
        found = asked("validate", profile, tool=tool, mode=mode, params=params, included_tools=["edit_file"])
        assert found == ({"allowed": False, "code": code} if code else {"allowed": True})
    switched = asked("validate", tool="apply_diff", mode="code", params={}, requirements={"apply_diff": False})
    assert switched == {"allowed": False, "code": "not_allowed_in_mode"}


def test_the_classic_client_takes_a_turn() -> None:
    files = {"./a.py": "one\n"}
    found = asked("turn", text=f"Now.\n{INSERT}<list_files><path>.</path></list_files>", files=files, mistakes=2)
    assert found == {
        "used_tool": True,
        "calls": [
            {"tool": "insert_content", "verdict": "accepted", "codes": []},
            {"tool": "list_files", "verdict": "skipped", "codes": ["second_tool"]},
        ],
        "mistakes": 0,
        "turn_failed": False,
        "attempts": {"insert_content": 1},
        "failures": {},
        "mode_after": "code",
        "files_changed": {"a.py": "new\none\n"},
    }
    refused = asked("turn", text=INSERT, mode="architect")
    assert (refused["attempts"], refused["mistakes"]) == ({"insert_content": 1}, 1)
    assert refused["calls"][0]["codes"] == ["file_pattern"]
    assert asked("turn", text="Hm.") == {"used_tool": False, "codes": ["no_tool"]}
    todo = "<update_todo_list><todos>[x] a</todos></update_todo_list>"
    assert asked("turn", text=todo)["todos"] == [["completed", "a"]]


def test_the_classic_client_answers_the_rest_like_the_reference() -> None:
    diff = "<<<<<<< SEARCH\n:start_line:1\n-------\none\n=======\n1\n>>>>>>> REPLACE"
    for profile in (CLASSIC_PROFILE, PROFILE):
        assert asked("diff", profile, original="one\n", diff=diff) == {"applied": True, "failed": [], "content": "1\n"}
        assert asked("todos", profile, text="[ ] a\nb") == {"items": [["pending", "a"]]}
        calls = [{"name": "list_files", "params": {"path": "."}}] * 4
        assert asked("repeat", profile, calls=calls) == {"allowed": [True, True, True, False]}
        args = asked("args", profile, tool="read_file", params={"args": "<file><path>a</path></fil"})
        assert args == {"ok": False, "code": "bad_xml"}
    with pytest.raises(ValueError, match="no tool 'apply_patch'"):
        asked("args", tool="apply_patch", params={"patch": "p"})


def test_numbers_beyond_all_doubles_are_null_as_in_json() -> None:
    args = f"<file><path>a</path><line_range>1-{'9' * 400}</line_range></file>"
    found = asked("args", PROFILE, tool="read_file", params={"args": args})
    assert found["args"] == {"files": [{"path": "a", "line_ranges": [[1, None]]}]}
    edit = asked("args", PROFILE, tool="edit_file", params={"file_path": "a", "expected_replacements": "many"})
    assert edit["args"]["expected_replacements"] is None
    operations = asked("args", PROFILE, tool="search_and_replace", params={"path": "a", "operations": '[{"n": 1e400}]'})
    assert operations["args"]["operations"] == [{"n": None}]


@pytest.mark.parametrize("profile", [PROFILE, CLASSIC_PROFILE])
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("cat a&amp;b.txt", "denied_by_user"),
        ("cat a&b.txt", "ignored_file"),
        ("cat &quot;x.key&quot;", "denied_by_user"),
        ("cat&#32;x.key", "denied_by_user"),
        ("cat x.key &gt; y", "ignored_file"),
        ("cat y &amp;&amp; head x.key", "ignored_file"),
    ],
)
def test_hidden_files_of_a_command_are_sought_in_the_text_as_written(profile: Any, command: str, code: str) -> None:
    files = {".rooignore": "*.key\na&b.txt\n"}
    found = asked("turn", profile, text=f"<execute_command><command>{command}</command></execute_command>", files=files)
    assert found["calls"][0]["codes"] == [code]
