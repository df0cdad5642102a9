from typing import Any

import pytest

from services.protocols.roo import modes
from services.protocols.roo.modes import BadMode, Mode, Params, Refusal, find_mode
from services.protocols.roo_native.tools import NATIVE_RULES
from services.protocols.roo_xml.editions import CLASSIC, REFERENCE


def refusal(tool: str, mode: Mode | None, params: Params, **options: Any) -> Refusal | None:
    return modes.refusal(tool, mode, params, **{"rules": REFERENCE.mode_rules, **options})


EDIT = {"path": "src/a.py", "content": "x"}


@pytest.mark.parametrize(
    ("tool", "mode", "reason"),
    [
        ("read_file", "ask", None),
        ("execute_command", "architect", "not_allowed_in_mode"),
        ("write_to_file", "ask", "not_allowed_in_mode"),
        ("read_file", "orchestrator", "not_allowed_in_mode"),
        ("new_task", "orchestrator", None),
        ("new_task", "nowhere", None),
        ("read_file", "nowhere", "not_allowed_in_mode"),
        ("edit_file", "code", "not_allowed_in_mode"),
        ("view_file", "code", "unknown_tool"),
        ("mcp_weather_get", "ask", None),
        ("mcp_weather_get", "orchestrator", "not_allowed_in_mode"),
        ("mcp--weather--get", "code", "unknown_tool"),
    ],
)
def test_a_mode_offers_the_tools_of_its_groups(tool: str, mode: str, reason: Refusal | None) -> None:
    assert refusal(tool, find_mode(mode), {}) == reason


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("docs/a.md", True), ("a.MD", False), ("a.mdx", False), ("a.md.txt", False), ("a.md\n", False)],
)
def test_architect_edits_markdown_only(path: str, allowed: bool) -> None:
    assert (refusal("write_to_file", find_mode("architect"), {"path": path, "content": "x"}) is None) == allowed


def test_a_pattern_counts_only_once_something_is_edited() -> None:
    assert refusal("write_to_file", find_mode("architect"), {"path": "a.py"}) is None


@pytest.mark.parametrize("tool", ["write_to_file", "apply_diff", "generate_image", "edit_file", "search_and_replace"])
@pytest.mark.parametrize("name", ["diff", "content", "operations", "search", "replace", "args", "line"])
def test_the_parameters_of_an_edit_make_the_pattern_count(tool: str, name: str) -> None:
    included = ("edit_file", "search_and_replace")
    for value, reason in (("x", "file_pattern"), ("", None)):
        params = {"path": "a.py", name: value}
        assert refusal(tool, find_mode("architect"), params, included_tools=included) == reason
        assert refusal(tool, find_mode("architect"), {**params, "path": "a.md"}, included_tools=included) is None
        assert refusal(tool, find_mode("architect"), {**params, "path": ""}, included_tools=included) is None


@pytest.mark.parametrize("name", ["prompt", "patch", "old_string", "new_string", "file_path", "image", "text"])
def test_other_parameters_make_no_edit_of_a_call(name: str) -> None:
    assert refusal("write_to_file", find_mode("architect"), {"path": "a.py", name: "x"}) is None
    for tool in ("edit", "apply_patch"):
        params = {"path": "a.py", name: "x"}
        native = refusal(tool, find_mode("architect"), params, included_tools=(tool,), rules=NATIVE_RULES)
        assert native == ("file_pattern" if name in ("patch", "old_string", "new_string") else None)


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ("<file><path>a.md</path></file>", None),
        ("<file><path>a.md</path></file><file><path>b.py</path></file>", "file_pattern"),
        ("<path>\n\u00a0a.md\ufeff\n</path>", None),
        ("<path>a.py</path>", "file_pattern"),
        ("<path>\n a.py </path>", "file_pattern"),
        ("<path> \n </path>", None),
        ("<path></path>", None),
        ("<path>a > b.py</path>", None),
        ("<path>a<b.py</path>", None),
        ("<path><b>a.py</b></path>", None),
        ("<path x='1'>a.py</path>", None),
        ("<path>a.py</path", None),
        ("<PATH>a.py</PATH>", None),
        ("<path><path>a.py</path>", "file_pattern"),
        ("a.py", None),
    ],
)
@pytest.mark.parametrize("tool", ["write_to_file", "apply_diff", "generate_image"])
def test_the_paths_in_args_must_match_too(tool: str, args: str, reason: Refusal | None) -> None:
    assert refusal(tool, find_mode("architect"), {"args": args}) == reason
    assert refusal(tool, find_mode("architect"), {"args": args, "path": "z.md"}) == reason
    assert refusal(tool, find_mode("architect"), {"args": args, "path": "z.py"}) == "file_pattern"
    assert refusal(tool, find_mode("code"), {"args": args, "path": "z.py"}) is None
    assert refusal(tool, find_mode("architect"), {"args": args}, rules=NATIVE_RULES) is None


def test_the_first_entry_of_a_group_counts() -> None:
    groups: list[object] = [["edit", {"fileRegex": "txt$"}], "edit", ["edit", {"fileRegex": "py$"}]]
    assert refusal("write_to_file", find_mode("x", [{"slug": "x", "groups": groups}]), EDIT) == "file_pattern"
    assert refusal("write_to_file", find_mode("x", [{"slug": "x", "groups": groups[1:]}]), EDIT) is None


@pytest.mark.parametrize("tool", ["view_file", "mcp_weather_get", "edit_file", "apply_patch"])
def test_the_classic_client_says_of_an_unknown_tool_that_the_mode_does_not_offer_it(tool: str) -> None:
    rules = CLASSIC.mode_rules
    assert refusal(tool, find_mode("code"), {}, included_tools=(tool,), rules=rules) == "not_allowed_in_mode"
    assert (
        refusal("insert_content", find_mode("architect"), {"path": "a.py", "line": "1"}, rules=rules) == "file_pattern"
    )


def test_a_custom_mode_overrides_a_built_in_one_with_its_own_pattern() -> None:
    custom = [{"slug": "code", "name": "C", "groups": ["read", ["edit", {"fileRegex": r"(?<d>^docs)/\w+\.txt$"}]]}]
    mode = find_mode("code", custom)
    assert refusal("execute_command", mode, {}) == "not_allowed_in_mode"
    assert refusal("write_to_file", mode, EDIT) == "file_pattern"
    assert refusal("write_to_file", mode, EDIT | {"path": "docs/a.txt"}) is None


def test_a_pattern_that_cannot_be_read_lets_no_path_through() -> None:
    custom = [{"slug": "x", "groups": [["edit", {"fileRegex": "("}]]}]
    assert refusal("write_to_file", find_mode("x", custom), EDIT) == "file_pattern"


def test_opt_in_tools_and_switched_off_tools() -> None:
    code = find_mode("code")
    assert refusal("edit_file", code, {}, included_tools=("edit_file",)) is None
    assert refusal("apply_diff", code, {}, requirements={"apply_diff": False}) == "not_allowed_in_mode"
    assert refusal("new_task", code, {}, requirements={"new_task": False}) is None


@pytest.mark.parametrize(
    "document",
    [{"slug": "x"}, {"slug": "x", "groups": "read"}, {"slug": "x", "groups": [5]}, {"slug": "x", "groups": [[]]}],
)
def test_a_mode_that_is_not_readable_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(BadMode):
        find_mode("x", [document])


@pytest.mark.parametrize(
    ("tool", "mode", "reason"),
    [
        ("skill", "orchestrator", None),
        ("read_command_output", "code", None),
        ("read_command_output", "ask", "not_allowed_in_mode"),
        ("search_and_replace", "code", "not_allowed_in_mode"),
        ("custom_tool", "code", "not_allowed_in_mode"),
        ("write_file", "code", "unknown_tool"),
        ("browser_action", "code", "unknown_tool"),
        ("fetch_instructions", "code", "unknown_tool"),
        ("mcp--a--b", "code", "unknown_tool"),
        ("mcp_a", "ask", None),
        ("mcp_a", "orchestrator", "not_allowed_in_mode"),
        ("mcp_a", "nowhere", "not_allowed_in_mode"),
    ],
)
def test_the_native_clients_modes_offer_their_own_tools(tool: str, mode: str, reason: Refusal | None) -> None:
    assert refusal(tool, find_mode(mode), {}, rules=NATIVE_RULES) == reason


@pytest.mark.parametrize("included", ["edit", "search_and_replace"])
@pytest.mark.parametrize("tool", ["edit", "search_and_replace"])
def test_an_alias_stands_for_its_tool_among_the_opt_in_tools(tool: str, included: str) -> None:
    assert refusal(tool, find_mode("code"), {}, included_tools=(included,), rules=NATIVE_RULES) is None


@pytest.mark.parametrize("tool", ["attempt_completion", "skill", "read_file", "search_and_replace"])
def test_a_native_tool_that_is_switched_off_stays_off(tool: str) -> None:
    name = "edit" if tool == "search_and_replace" else tool
    options = {"included_tools": ("edit",), "requirements": {name: False}, "rules": NATIVE_RULES}
    assert refusal(tool, find_mode("code"), {}, **options) == "not_allowed_in_mode"


@pytest.mark.parametrize(
    ("tool", "params", "reason"),
    [
        ("edit_file", {"file_path": "a.py", "old_string": "x"}, "file_pattern"),
        ("edit_file", {"file_path": "a.py"}, None),
        ("edit_file", {"path": "a.md", "file_path": "a.py", "old_string": "x"}, None),
        ("apply_patch", {"patch": "*** Update File: a.md\n*** Add File: b.py"}, "file_pattern"),
        ("apply_patch", {"patch": "*** Update File: a.md \n  *** Add File: b.py\n*** Move to: c.py"}, None),
        ("apply_patch", {"patch": "*** Delete File: "}, None),
        ("write_to_file", {"path": "a.md", "content": "x", "patch": "*** Add File: b.py"}, None),
        ("generate_image", {"path": "a.py", "prompt": "x"}, None),
    ],
)
def test_every_path_of_a_native_edit_must_match(tool: str, params: dict[str, str], reason: Refusal | None) -> None:
    included = ("edit_file", "apply_patch")
    assert refusal(tool, find_mode("architect"), params, included_tools=included, rules=NATIVE_RULES) == reason


def test_a_pattern_of_another_group_is_not_looked_at() -> None:
    custom = [{"slug": "x", "groups": [["read", {"fileRegex": "^$"}]]}]
    assert refusal("read_file", find_mode("x", custom), {"path": "a", "content": "x"}) is None
