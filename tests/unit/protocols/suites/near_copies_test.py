"""A row that is nearly a case of a suite is told from one that is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.feedback.datasets.builder import DatasetOrder, build
from services.protocols.profile import get_profile
from services.protocols.suites.near_copies import SuiteTasks
from services.protocols.suites.suite import Suite
from services.trainer.training.examples import row_of_line

SUITES = [suite for name in ("roo_xml", "roo_native", "openai_tools", "text") for suite in get_profile(name).suites()]
TASKS = SuiteTasks((f"{suite.suite_id}@{suite.version}", suite.cases) for suite in SUITES)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: f"{suite.suite_id}@{suite.version}")
def test_every_case_of_a_suite_is_known_again_without_regard_to_case_blanks_and_frame(suite: Suite) -> None:
    for case in suite.cases:
        copy = TASKS.near_copy([f"Please.\n<task>\n{'  '.join(case.task.upper().split(' '))}\n</task>\nThe time is 9."])
        assert copy is not None, case.case_id
        assert copy.share == 1


def test_half_a_task_is_a_near_copy_and_a_quarter_of_it_is_none() -> None:
    words = [f"word{chr(97 + place % 26)}{chr(97 + place // 26)}" for place in range(47)]
    case = get_profile("roo_xml").suites()[0].cases[0]
    tasks = SuiteTasks([("mine@1", [replace(case, task=" ".join(words))])])
    half = tasks.near_copy([" ".join(words[:28])])
    assert half is not None
    assert (half.suite, half.case_id) == ("mine@1", case.case_id)
    assert half.share == pytest.approx(21 / 40)
    assert tasks.near_copy([" ".join(words[:17])]) is None
    assert tasks.near_copy([]) is None


@pytest.mark.parametrize("profile_id", ["roo_native"])
def test_what_a_loop_builds_is_no_near_copy_of_any_suite(profile_id: str) -> None:
    profile = get_profile(profile_id)
    suite = max(profile.suites(), key=lambda suite: suite.version)
    order = DatasetOrder(prompt_size="compact", seed=5, num_examples=60, verdicts=(), suite_cases=suite.cases)
    rows = [row_of_line(line, number) for number, line in enumerate(build(profile, order).content.splitlines(), 1)]
    assert len(rows) > 60
    assert not [row.example_id for row in rows if TASKS.near_copy([m["content"] for m in row.messages[1:]])]


def test_a_line_without_blanks_costs_no_more_than_its_length() -> None:
    assert TASKS.near_copy(["x" * (1 << 20), "x/" * (1 << 19)]) is None
