from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.feedback.datasets.plan import NO_CAUSE, Share, apportion, plan, sentence
from services.feedback.domain.work import ProbeVerdict

TOOLS = ("read_file", "apply_diff", "new_task", "switch_mode")


def verdicts(**causes: list[str]) -> list[ProbeVerdict]:
    return [ProbeVerdict(f"{tool}-{n}", tool, cause) for tool, found in causes.items() for n, cause in enumerate(found)]


def by_tool(shares: tuple[Share, ...]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for share in shares:
        counts[share.tool] += share.count
    return counts


def test_what_fails_more_gets_more_examples_and_every_tool_keeps_some() -> None:
    probe = verdicts(
        read_file=["", "", ""], apply_diff=["effect_failed"] * 3, new_task=["no_call", "", ""], switch_mode=["", "", ""]
    )
    counts = by_tool(plan(probe, TOOLS, 320))
    assert counts.total() == 320
    assert counts["apply_diff"] > counts["new_task"] > counts["read_file"]
    assert min(counts.values()) >= 320 * 0.25 // len(TOOLS)


def test_the_examples_of_a_tool_treat_its_causes_as_often_as_they_occurred() -> None:
    probe = verdicts(apply_diff=["no_call", "no_call", "bad_value"], read_file=["", "", ""])
    shares = plan(probe, ("apply_diff", "read_file"), 100)
    causes = {share.cause: share.count for share in shares if share.tool == "apply_diff"}
    assert causes["no_call"] == pytest.approx(2 * causes["bad_value"], abs=2)
    assert [share.cause for share in shares if share.tool == "read_file"] == [NO_CAUSE]


def test_a_probe_without_failures_gives_an_even_plan_that_treats_nothing() -> None:
    shares = plan(verdicts(**{tool: ["", ""] for tool in TOOLS}), TOOLS, 40)
    assert shares == tuple(Share(tool, NO_CAUSE, 10) for tool in TOOLS)


def test_a_tool_that_was_not_probed_counts_as_failing_like_all() -> None:
    shares = plan(verdicts(read_file=["no_call"], apply_diff=[""]), ("read_file", "apply_diff", "new_task"), 90)
    counts = by_tool(shares)
    assert counts["read_file"] > counts["new_task"] > counts["apply_diff"]
    assert {share.cause for share in shares if share.tool == "new_task"} == {"no_call"}


def test_the_sentence_counts_examples_and_names_the_main_causes() -> None:
    told = sentence((Share("read_file", "no_call", 12), Share("apply_diff", "bad_value", 3)))
    assert told == "15 examples for 2 tools (12 of read_file to 3 of apply_diff), treating no_call 12, bad_value 3."


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
