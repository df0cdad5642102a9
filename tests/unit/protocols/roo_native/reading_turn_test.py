"""What the model gets to see of files, listings and the rest."""

import json
from typing import Any

import pytest

from services.protocols.roo_native.tools.file_excerpts import Block, block_of, slice_of
from services.protocols.roo_native.turn import take_turn
from services.protocols.session import call_key
from services.protocols.turn import Answer, ClientState, ToolCall

CODE = """\
import os


class A:
    # first
    def f(self):
        return 1

    def g(self):
        return 2


X = 1
"""


def reply(name: str, state: ClientState | None = None, **arguments: Any) -> str:
    state = state or ClientState(files={"a.txt": "one\ntwo\nthree\n", "d/c.py": CODE}, paths=frozenset(("far/b.txt",)))
    return take_turn(state, Answer("", (ToolCall(name, json.dumps(arguments)),))).calls[0].reply


def test_a_file_comes_with_its_path_and_numbers() -> None:
    assert reply("read_file", path="a.txt") == "File: a.txt\n1 | one\n2 | two\n3 | three\n4 | "


def test_a_slice_comes_with_a_note_on_what_follows() -> None:
    found = reply("read_file", path="a.txt", offset=2, limit="1")
    assert found.startswith("File: a.txt\n") and "lines 2-2 of 4" in found and found.endswith("\n\n2 | two")
    assert "offset=3 and limit=1" in found


def test_an_offset_behind_the_end_is_said_and_an_empty_file_too() -> None:
    assert "4 lines" in reply("read_file", path="a.txt", offset=9)
    assert slice_of("", None, None) == "The file is empty."


@pytest.mark.parametrize("limit", [0, -5])
def test_a_limit_below_one_shows_no_line(limit: int) -> None:
    assert " | " not in slice_of("a\nb", None, limit)


def test_only_two_thousand_lines_of_two_thousand_characters_are_shown() -> None:
    text = "\n".join(["x" * 2001, *["y"] * 2500])
    found = slice_of(text, None, None).split("\n\n", 1)[1].split("\n")
    assert len(found) == 2000
    assert found[0] == f"   1 | {'x' * 1997}..."


def test_a_long_line_is_never_cut_inside_a_character() -> None:
    assert slice_of("x" * 1996 + "😀" * 9, None, None) == f"1 | {'x' * 1996}..."


def test_indentation_shows_the_block_around_the_anchor() -> None:
    found = reply("read_file", path="d/c.py", mode="indentation", indentation={"anchor_line": 7, "max_levels": 1})
    assert " 5 |     # first" in found and " 6 |     def f(self):" in found and "7 |         return 1" in found
    assert "X = 1" not in found and "def g" not in found.split("offset")[0]


def test_indentation_without_a_limit_of_levels_shows_what_encloses_it() -> None:
    found = block_of(CODE, Block(anchor=7))
    assert "class A:" in found
    assert "There is no line 99" in block_of(CODE, Block(anchor=99))


def test_siblings_and_limits_of_a_block() -> None:
    assert "def g" in block_of(CODE, Block(anchor=7, max_levels=1, siblings=True))
    assert block_of(CODE, Block(anchor=7, limit=1)).endswith("7 |         return 1")
    assert block_of("a\nb", Block(anchor=1, siblings=True)).endswith("Lines 1-2 of 2.")


def test_the_older_form_shows_each_file_and_its_ranges() -> None:
    files = [{"path": "a.txt", "line_ranges": [[2, 3], [1, 1]]}, {"path": "gone"}, {"path": "far/b.txt"}]
    found = reply("read_file", files=files).split("\n\n---\n\n")
    assert found[0] == "File: a.txt\n2 | two\n3 | three\n1 | one"
    assert found[1].startswith("File: gone\nError: ")
    assert "cannot be shown" in found[2]


def test_ranges_of_the_older_form_are_never_wrong() -> None:
    files = [{"path": "a.txt", "line_ranges": [[3, 1], ["x", 2], [2, 99999999]]}]
    assert reply("read_file", files=files) == "File: a.txt\n\n2 | two\n3 | three\n4 | "


def test_a_search_shows_hits_and_an_expression_that_cannot_be_read_is_an_error() -> None:
    assert "# a.txt" in reply("search_files", path=".", regex="tw.", file_pattern="*.txt")
    assert json.loads(reply("search_files", path=".", regex="("))["status"] == "error"


def test_a_listing_shows_folders_once_or_everything() -> None:
    assert reply("list_files", path=".", recursive=False).split("\n") == ["a.txt", "d/", "far/"]
    assert "d/c.py" in reply("list_files", path=".", recursive="true")


def test_a_case_can_say_what_a_tool_answers() -> None:
    results = {"execute_command": "any", call_key("execute_command", {"command": "ls"}): "a.txt", "skill": "Do it."}
    state = ClientState(results=results)
    assert reply("execute_command", state, command="ls", cwd=None).endswith("\na.txt")
    assert reply("execute_command", state, command="pwd").endswith("\nany")
    assert reply("skill", state, skill="mine").endswith("Do it.")
    assert (
        reply("read_command_output", ClientState(results={"read_command_output": "log"}), artifact_id="cmd-1.txt")
        == "log"
    )


def test_the_built_in_skills_are_handed_out() -> None:
    assert reply("skill", skill="create-mode").startswith("Skill: create-mode\n\n")


def test_the_user_takes_the_first_suggestion() -> None:
    follow_up = [{"text": "Blue", "mode": None}, {"text": "Red", "mode": None}]
    assert reply("ask_followup_question", question="q", follow_up=follow_up) == "<user_message>\nBlue\n</user_message>"
    assert "best" in reply("ask_followup_question", question="q", follow_up=["Blue"])


def test_errors_and_denials_are_json_with_a_status() -> None:
    assert json.loads(reply("apply_diff", path="gone", diff="x"))["status"] == "error"
    denied = ClientState(denied_tools=frozenset(("execute_command",)))
    assert json.loads(reply("execute_command", denied, command="ls"))["status"] == "denied"
