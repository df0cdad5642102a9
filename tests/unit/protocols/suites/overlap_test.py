from dataclasses import replace

from services.protocols.cases import Case, Expected
from services.protocols.suites.overlap import find_overlaps

SUITE = Case(
    "s",
    "k",
    "execute_command",
    "code",
    "Please be so kind and start the nightly build with `make all` in build/out",
    Expected("execute_command", {"command": "make all"}),
    "Please be so kind and start the nightly build with `{}` in {}",
    "r",
)
CLEAN = Case(
    "p",
    "k",
    "execute_command",
    "code",
    "Run `ls`",
    Expected("execute_command", {"command": "ls"}),
    "Run `{}`",
    "r",
)


def kinds(planted: Case) -> list[str]:
    return [overlap.kind for overlap in find_overlaps([SUITE], [CLEAN, planted])]


def test_disjoint_cases_do_not_overlap() -> None:
    assert find_overlaps([SUITE], [CLEAN]) == []


def test_a_planted_task_is_seen_whatever_its_case_and_blanks() -> None:
    planted = replace(CLEAN, task="  " + SUITE.task.upper())
    assert "task" in kinds(planted)


def test_a_planted_call_is_seen() -> None:
    planted = replace(CLEAN, expected=Expected("execute_command", {"command": "make all"}))
    assert kinds(planted) == ["arguments"]


def test_a_planted_wording_is_seen() -> None:
    planted = replace(CLEAN, template=SUITE.template)
    assert kinds(planted) == ["template"]


def test_a_planted_eight_word_sequence_is_seen_across_code_and_paths() -> None:
    planted = replace(CLEAN, task="Be so kind and `x` start the a/b.py nightly build")
    found = find_overlaps([SUITE], [planted])
    assert [(overlap.kind, overlap.text) for overlap in found] == [
        ("ngram", "be so kind and start the nightly build"),
    ]
    assert (found[0].suite_case, found[0].pool_case) == ("s", "p")


def test_seven_words_are_no_sequence_and_code_does_not_count() -> None:
    assert kinds(replace(CLEAN, task="so kind and start the nightly build")) == []
    assert kinds(replace(CLEAN, task="`be so kind and start the nightly build with`")) == []


def test_calls_of_closed_tools_are_not_compared() -> None:
    planted = replace(CLEAN, expected=SUITE.expected, tool=SUITE.tool)
    assert find_overlaps([SUITE], [planted], closed_tools=("execute_command",)) == []
