"""Advice: sentences that name what fails, how often, and what would be cured."""

from __future__ import annotations

from services.evaluator.domain.metrics import Rates
from services.evaluator.domain.tallies import Failing, Totals
from services.evaluator.metrics.advice import advise


def failing(
    tool: str,
    sentence: str,
    *,
    fault: str = "diff_form",
    cause: str = "bad_value",
    is_sole: bool = False,
    count: int = 1,
) -> list[Failing]:
    return [Failing(f"c{n}", tool, "edit", "valid_values", fault, cause, sentence, is_sole) for n in range(count)]


def rates(**tools: int) -> dict[str, Rates]:
    return {tool: Rates(num_cases=count) for tool, count in tools.items()}


def test_a_tools_failures_are_counted_by_kind_and_the_curable_ones_are_named() -> None:
    found = advise(
        [
            *failing("apply_diff", "In apply_diff, a block of the diff lacks its :start_line:.", count=24),
            *failing("apply_diff", "Text follows the call, which must come last.", fault="text_after",
                     cause="text_after", is_sole=True, count=5),
            *failing("apply_diff", "Text follows the call, which must come last.", fault="text_after",
                     cause="text_after", count=2),
        ],
        rates(apply_diff=40),
        Totals(),
    )  # fmt: skip
    assert found == (
        "Fails 31 of 40 apply_diff answers: 24 by bad_value: “a block of the diff lacks its :start_line:”; "
        "7 by text_after: “Text follows the call, which must come last” "
        "(5 would conform if the answer ended with its call).",
    )


def test_details_that_differ_only_in_their_values_are_one_kind() -> None:
    found = advise(
        [
            *failing("read_file", "In read_file, path is 'a.py', not 'b.py'.", fault="wrong_arguments"),
            *failing("read_file", "In read_file, path is 'c.py', not 'd.py'.", fault="wrong_arguments"),
            *failing("read_file", "In read_file, path is missing.", fault="missing_param"),
        ],
        rates(read_file=3),
        Totals(),
    )
    assert found[0].startswith(
        "Fails 3 of 3 read_file answers: 2 by bad_value, such as “path is 'a.py', not 'b.py'”; 1 by"
    )


def test_nothing_is_promised_where_something_else_may_be_wrong() -> None:
    assert "would conform" not in advise(failing("new_task", "No."), rates(new_task=1), Totals())[0]


def test_the_tool_with_most_failures_comes_first_and_few_kinds_are_told() -> None:
    many = [one for letter in "abcdefg" for one in failing("b", f"Fault {letter}.", fault=f"f{letter}")]
    found = advise([*failing("a", "No."), *many], rates(a=5, b=9), Totals())
    assert found[0].startswith("Fails 7 of 9 b answers") and found[0].endswith("; 4 in other ways.")
    assert found[1].startswith("Fails 1 of 5 a answers")


def test_a_cause_behind_most_failures_of_several_tools_is_named() -> None:
    both = [*failing("a", "No.", cause="no_call", count=3), *failing("b", "No.", cause="no_call", count=2)]
    found = advise(both, rates(a=5, b=5), Totals())
    assert found[-1].startswith("no_call alone makes 5 of all 10 answers fail, over 2 tools")


def test_what_happened_to_the_grader_is_told_with_how_often() -> None:
    assert advise([], {}, Totals(notes={"It was away.": 3, "It obeys.": 1})) == ("It was away. (3 times)", "It obeys.")


def test_without_failures_there_is_nothing_to_do() -> None:
    assert advise([], rates(a=4), Totals()) == ()


def test_wrong_values_of_one_argument_are_one_kind_however_they_are_written() -> None:
    sentences = ['todos[1] is ["pending", "a...", not ["done", "b".', 'todos is [[1, 2]], not [["done", "b"]].']
    kinds = [one for text in sentences for one in failing("update_todo_list", text, fault="wrong_arguments")]
    [sentence] = advise(kinds, rates(update_todo_list=2), Totals())
    assert sentence.startswith("Fails 2 of 2 update_todo_list answers: 2 by bad_value, such as “todos[1] is")


def test_a_sole_fault_without_a_known_cure_says_that_nothing_else_is_wrong() -> None:
    [sentence] = advise(failing("edit", "No match.", is_sole=True, count=2), rates(edit=2), Totals())
    assert sentence == "Fails 2 of 2 edit answers: 2 by bad_value: “No match” (nothing else is wrong with them)."


def test_an_argument_that_is_missing_is_told_apart_from_one_with_another_value() -> None:
    sentences = ['files[1] is missing: the task asks for ["a", []].', 'files[0] is ["a", []], not ["a", [[1, 2]]].']
    kinds = [one for text in sentences for one in failing("read_file", text, fault="wrong_arguments")]
    [sentence] = advise(kinds, rates(read_file=2), Totals())
    assert sentence.count("1 by bad_value") == 2


def test_what_the_server_failed_at_is_told_apart_and_is_nothing_to_train() -> None:
    kinds = [
        *failing(
            "read_file",
            "The endpoint answers with status 503: busy.",
            fault="backend_fault",
            cause="backend_fault",
            count=3,
        ),
        *failing("list_files", "No call.", fault="no_call", cause="no_call"),
    ]
    first, second = advise(kinds, rates(read_file=4, list_files=4), Totals())
    assert first.startswith("3 of 8 cases were not answered") and "status 503" in first
    assert second.startswith("Fails 1 of 4 list_files answers")
