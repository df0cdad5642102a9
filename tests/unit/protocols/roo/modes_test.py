import pytest

from services.protocols.roo.modes import BadMode, Refusal, find_mode, refusal

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
