from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.feedback.datasets.cells import Cell
from services.feedback.datasets.plan import NO_CAUSE, Result, Share, apportion, apportion_cells, plan, sentence

TOOLS = ("read_file", "apply_diff", "new_task", "switch_mode")


def calls(*tools: str) -> dict[Cell, float]:
    return {Cell("", tool): 10.0 for tool in tools}


def results(**causes: list[str]) -> list[Result]:
    return [Result(Cell("", tool), cause) for tool, found in causes.items() for cause in found]


def by_tool(shares: tuple[Share, ...]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for share in shares:
        counts[share.cell.tool] += share.count
    return counts


def test_what_fails_more_gets_more_examples_and_every_tool_keeps_some() -> None:
    probe = results(
        read_file=["", "", ""], apply_diff=["effect_failed"] * 3, new_task=["no_call", "", ""], switch_mode=["", "", ""]
    )
    counts = by_tool(plan(probe, calls(*TOOLS), 320, seed=0))
    assert counts.total() == 320
    assert counts["apply_diff"] > counts["new_task"] > counts["read_file"]
    assert min(counts.values()) >= 320 * 0.25 // len(TOOLS)


def test_the_examples_of_a_tool_treat_its_causes_as_often_as_they_occurred() -> None:
    probe = results(apply_diff=["no_call", "no_call", "bad_value"], read_file=["", "", ""])
    shares = plan(probe, calls("apply_diff", "read_file"), 100, seed=0)
    causes = {share.cause: share.count for share in shares if share.cell.tool == "apply_diff"}
    assert causes["no_call"] == pytest.approx(2 * causes["bad_value"], abs=2)
    assert [share.cause for share in shares if share.cell.tool == "read_file"] == [NO_CAUSE]


def test_a_probe_without_failures_gives_an_even_plan_that_treats_nothing() -> None:
    shares = plan(results(**{tool: ["", ""] for tool in TOOLS}), calls(*TOOLS), 40, seed=0)
    assert shares == tuple(Share(Cell("", tool), NO_CAUSE, 10) for tool in TOOLS)


@pytest.mark.parametrize("cause", ["backend_fault", "template_fault"])
def test_what_a_server_or_a_template_failed_at_steers_nothing(cause: str) -> None:
    probe = results(read_file=["no_call", ""], apply_diff=["bad_value", ""])
    with_faults = [*probe, *results(new_task=[cause] * 4, read_file=[cause])]
    assert plan(with_faults, calls(*TOOLS), 80, seed=0) == plan(probe, calls(*TOOLS), 80, seed=0)


def test_a_tool_that_was_not_probed_counts_as_failing_like_all() -> None:
    probe = results(read_file=["no_call"], apply_diff=[""])
    shares = plan(probe, calls("read_file", "apply_diff", "new_task"), 90, seed=0)
    counts = by_tool(shares)
    assert counts["read_file"] > counts["new_task"] > counts["apply_diff"]
    assert {share.cause for share in shares if share.cell.tool == "new_task"} == {"no_call"}


def test_the_sentence_counts_examples_and_names_the_main_causes() -> None:
    shares = [Share(Cell("", "read_file"), "no_call", 12), Share(Cell("", "apply_diff"), "bad_value", 3)]
    told = "15 examples for 2 tools (12 of read_file to 3 of apply_diff), treating no_call 12, bad_value 3."
    assert sentence(shares) == told
    shares = [Share(Cell("recovery", "read_file"), "no_call", 12), Share(Cell("mcp", "apply_diff"), "bad_value", 3)]
    assert "2 tools in 2 kinds of task (12 of read_file" in sentence(shares)


MIXED = {Cell("recovery", "read_file"): 6.0, Cell("recovery", "apply_diff"): 2.0, Cell("todo_turns", "read_file"): 2.0}


def test_a_plan_follows_what_the_suite_is_made_of_and_within_it_what_fails() -> None:
    even = plan([Result(cell, "no_call") for cell in MIXED], MIXED, 100, seed=0)
    assert {share.cell: share.count for share in even} == {cell: 10 * part for cell, part in MIXED.items()}
    right, wrong = MIXED[Cell("recovery", "read_file")], Cell("todo_turns", "read_file")
    assert right
    probe = [Result(cell, "task_not_done" if cell == wrong else "") for cell in MIXED for _ in range(3)]
    counts = {share.cell: share.count for share in plan(probe, MIXED, 100, seed=0)}
    assert counts[wrong] > 50 and min(counts.values()) >= 5


def test_the_same_tool_treats_other_causes_in_another_kind_of_task() -> None:
    probe = [Result(Cell("recovery", "read_file"), "repeated_call"), Result(Cell("todo_turns", "read_file"), "no_call")]
    causes = {share.cell: share.cause for share in plan(probe, MIXED, 100, seed=0)}
    assert causes == {
        Cell("recovery", "read_file"): "repeated_call",
        Cell("recovery", "apply_diff"): "repeated_call",
        Cell("todo_turns", "read_file"): "no_call",
    }


def test_what_is_too_little_for_all_cells_of_a_kind_goes_to_others_with_another_seed() -> None:
    cells = {Cell("recovery", tool): 1.0 for tool in TOOLS}
    counts = [apportion_cells(2, cells, seed=seed) for seed in range(30)]
    assert all(sum(found.values()) == 2 and max(found.values()) == 1 for found in counts)
    assert {cell for found in counts for cell, count in found.items() if count} == set(cells)


@given(
    total=st.integers(0, 5000),
    weights=st.dictionaries(st.text(max_size=3), st.floats(0, 1e6), min_size=1, max_size=20),
)
def test_apportioned_counts_sum_to_the_total_and_stay_within_one_of_their_share(
    total: int, weights: dict[str, float]
) -> None:
    counts = apportion(total, weights)
    mass = sum(weights.values())
    assert sum(counts.values()) == total
    assert all(count >= 0 for count in counts.values())
    if mass:
        assert all(abs(counts[key] - total * weight / mass) <= 1 + 1e-6 for key, weight in weights.items())
