import time

import pytest

from services.protocols.roo_xml.rules.style import STYLE_RULES, style_problems

DONE = "<attempt_completion><result>{}</result></attempt_completion>"
WRITE = "<write_to_file><path>a.py</path><content>\n{}\n</content></write_to_file>"
TODO = "<update_todo_list><todos>\n{}\n</todos></update_todo_list>"


def found(text: str) -> list[tuple[str, str]]:
    return [(problem.name, text[slice(*problem.span)]) for problem in style_problems(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sure, I do it.", [("chatty_opening", "Sure")]),
        ("\n okay: next", [("chatty_opening", "okay")]),
        ("<thinking>x</thinking>\nGreat!", [("chatty_opening", "Great")]),
        ("<think>x</think>Certainly.", [("chatty_opening", "Certainly")]),
        ("Surely this is fine. Sure.", []),
        (DONE.format("Shall I go on?"), [("asking_result", "Shall I go on?")]),
        (DONE.format("It was a question? No."), []),
        ("I look at src/a.py now.", [("bare_file_name", "src/a.py")]),
        ("I look at `a.py`.", [("bare_file_name", "a.py")]),
        ("I look at [a.py](src/a.py:3) and http://x.org/a.py", []),
        ("```\na.py\n```\n<thinking>b.py</thinking>", []),
        ("Version 1.2 of e.g. this, v3.31.3 and foo.bar()", []),
        (DONE.format("Changed a.ts."), [("bare_file_name", "a.ts")]),
        (TODO.format("[ ] a") + DONE.format("b"), [("several_calls", DONE.format("b"))]),
        ("<list_files><path>/src</path></list_files>", [("absolute_path", "/src")]),
        ("<list_files><path>C:\\src</path></list_files>", [("absolute_path", "C:\\src")]),
        ("<list_files><path>~/src</path></list_files>", [("absolute_path", "~/src")]),
        (
            "<read_file><args><file><path>/a</path></file><file><path>b</path></file></args></read_file>",
            [("absolute_path", "/a")],
        ),
        ("<read_file><args><file</args></read_file>", []),
        (WRITE.format("x\n# ... rest of code"), [("placeholder", "# ... rest of code")]),
        (WRITE.format("x\n  // existing code here"), [("placeholder", "  // existing code here")]),
        (WRITE.format("x = ...\n# the rest\ny = 'rest of'"), []),
        (TODO.format("[ ] a\n  - [ ] b"), [("nested_checklist", "  - [ ] b")]),
        (TODO.format("- [ ] a\n[x] b"), []),
        ("<new_task><mode>code</mode><message>m</message><todos>[ ] a\n\t[ ] b</todos></new_task>",
         [("nested_checklist", "\t[ ] b")]),
        ("a" * 1_048_577, []),
    ],
)  # fmt: skip
def test_each_rule_is_broken_where_it_is_broken(text: str, expected: list[tuple[str, str]]) -> None:
    assert found(text) == expected


def test_every_rule_has_its_name() -> None:
    text = "Sure, a.py\n<list_files><path>/a</path></list_files>" + WRITE.format("# ...") + TODO.format("[ ] a\n [ ] b")
    names = {name for name, _ in found(text + DONE.format("So?"))}
    assert names == set(STYLE_RULES)


@pytest.mark.parametrize("piece", ["a.", "a/", "a.py ", "[a.py](", "```", "# rest ", "\n [ ]", "<thinking>"])
def test_long_answers_do_not_take_long(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    start = time.process_time()
    style_problems(text)
    style_problems(WRITE.format(text))
    style_problems(TODO.format(text))
    assert time.process_time() - start < 10
