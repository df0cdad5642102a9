"""What vectors ask of the client that speaks in function calls."""

import json
from typing import Any

import pytest

from services.protocols.roo_native.vectors import OPERATIONS


def turn(*calls: tuple[str, Any], **given: Any) -> Any:
    listed = [{"name": name, "arguments": json.dumps(arguments)} for name, arguments in calls]
    return OPERATIONS["turn"]({"calls": listed, **given})


@pytest.mark.parametrize(
    ("included", "verdict", "attempts"),
    [(["edit"], "accepted", 2), (["search_and_replace"], "accepted", 2), (["edit_file"], "failed", 1)],
)
def test_a_turn_brings_the_opt_in_tools_of_the_model(included: list[str], verdict: str, attempts: int) -> None:
    edit = {"file_path": "a.txt", "old_string": "one", "new_string": "1"}
    found = turn(("edit", edit), files={"a.txt": "one"}, included_tools=included)
    assert (found["calls"][0]["verdict"], found["attempts"]) == (verdict, {"edit": attempts})
    assert turn(("edit", edit), files={"a.txt": "one"})["calls"][0]["codes"] == ["not_allowed_in_mode"]


def test_numbers_beyond_all_doubles_are_null_as_in_json() -> None:
    asked = {"name": "execute_command", "arguments": '{"command": "ls", "timeout": 1e400}'}
    assert OPERATIONS["native"](asked) == {
        "ok": True,
        "kind": "tool",
        "name": "execute_command",
        "args": {"command": "ls", "timeout": None},
    }
    server = {"name": "mcp--a--b", "arguments": '{"n": [-1e400, 9007199254740993, -0]}'}
    assert OPERATIONS["native"](server) == {
        "ok": True,
        "kind": "mcp",
        "server": "a",
        "tool": "b",
        "args": {"n": [None, 9007199254740992, 0]},
    }


@pytest.mark.parametrize(
    ("called", "servers", "code"),
    [
        ("mcp--my_srv--get", ["my-srv"], None),
        ("mcp--my-srv--get", ["my_srv"], None),
        ("mcp--my_srv--get", ["my_srv", "my-srv"], None),
        ("mcp--my_srv--get", ["my-srv", "my srv"], None),
        ("mcp--my-srv--get", ["my srv"], "mcp_unknown_server"),
        ("mcp--mysrv--get", ["my srv"], "mcp_unknown_server"),
        ("mcp--My_srv--get", ["my-srv"], "mcp_unknown_server"),
        ("mcp--_1st--get", ["1st"], None),
        ("mcp--_1_st--get", ["1-st"], "mcp_unknown_server"),
        ("mcp--_1-st--get", ["1-st"], None),
    ],
)
def test_servers_are_found_by_names_that_are_alike(called: str, servers: list[str], code: str | None) -> None:
    mcp = [{"name": name, "tools": ["get"]} for name in servers]
    assert turn((called, {}), mcp=mcp)["calls"][0]["codes"] == ([code] if code else [])


@pytest.mark.parametrize(
    ("called", "servers", "right"),
    [
        ("a_b", ["a-b", "a b", "a_b"], "a_b"),
        ("a_b", ["a-b", "a b", "a  b"], "a  b"),
        ("a_b", ["a\tb", "a-b"], "a\tb"),
        ("a-b", ["a_b", "a--b", "a_b "], "a--b"),
        ("a-_b", ["a_-b", "a__b"], "a_-b"),
    ],
)
def test_of_several_servers_one_is_meant(called: str, servers: list[str], right: str) -> None:
    mcp = [{"name": name, "tools": ["get" if name == right else "other"]} for name in servers]
    found = turn((f"mcp--{called}--get", {}), mcp=mcp)
    assert found["calls"][0]["codes"] == []
