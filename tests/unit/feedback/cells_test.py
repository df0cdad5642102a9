"""What a suite is made of, where its profile can draw only a part of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from services.feedback.datasets.builder import DatasetOrder, build, probe_cases
from services.feedback.datasets.cells import Cell, cell_weights
from services.protocols.material.catalogue import SINGLE_CALL
from services.protocols.profile import Profile, get_profile
from services.protocols.suites.balance import category_of

PROFILE = get_profile("roo_xml")
CALLS, TASKS = PROFILE.suites()[0].cases, PROFILE.suites()[1].cases


class WithoutPool:
    """A profile with kinds of task and no single calls."""

    def __getattr__(self, name: str) -> Any:
        return getattr(PROFILE, name)

    categories = PROFILE.categories[1:]


def without_pool() -> Profile:
    profile: Any = WithoutPool()
    return profile  # type: ignore[no-any-return]


def test_the_cells_of_a_suite_have_its_counts() -> None:
    assert cell_weights(PROFILE, CALLS) == {Cell(SINGLE_CALL, tool): 10.0 for tool in PROFILE.tools}
    parts = cell_weights(PROFILE, TASKS)
    assert sum(parts.values()) == len(TASKS)
    assert parts == Counter(Cell(category_of(case), case.tool) for case in TASKS)
    assert [cell.category for cell in parts] == sorted((cell.category for cell in parts), key=PROFILE.categories.index)


def test_a_suite_of_unknown_kinds_is_drilled_by_its_tools() -> None:
    imported = [
        replace(case, category=f"mine.{number}") for number, case in enumerate(CALLS) if case.tool == "new_task"
    ]
    assert cell_weights(PROFILE, imported) == {Cell(SINGLE_CALL, "new_task"): 10.0}
    assert {case.tool for case in probe_cases(PROFILE, imported, seed=1, count=6)} == {"new_task"}


def test_a_suite_of_unknown_tools_is_drilled_by_all_single_calls() -> None:
    profile = get_profile("openai_tools")
    own = [replace(case, category="simple.1", tool="my_function") for case in profile.suites()[0].cases[:6]]
    assert cell_weights(profile, own) == {Cell(SINGLE_CALL, tool): pytest.approx(6 / 12) for tool in profile.tools}
    assert len(probe_cases(profile, own, seed=1, count=12)) == 12


def test_a_mixed_suite_is_drilled_as_it_is_mixed() -> None:
    parts = cell_weights(PROFILE, [*CALLS[:30], *(case for case in TASKS if case.category.startswith("recovery"))])
    assert sum(parts[cell] for cell in parts if cell.category == SINGLE_CALL) == 30
    assert {cell.category for cell in parts} == {SINGLE_CALL, "recovery"}


def test_a_profile_of_one_edition_drills_single_calls_by_tool() -> None:
    classic = get_profile("roo_xml_classic")
    suite = [replace(case, category="mine.1") for case in CALLS[:40]]
    built = build(classic, DatasetOrder("compact", 3, 40, [], suite))
    assert {share.cell for share in built.shares} == set(cell_weights(classic, suite))


def test_a_profile_without_a_pool_draws_its_kinds_of_task() -> None:
    profile = without_pool()
    parts = cell_weights(profile, CALLS)
    assert [cell.category for cell in parts] == list(PROFILE.categories[1:])
    built = build(profile, DatasetOrder("compact", 3, 70, [], CALLS))
    assert {share.cell.category for share in built.shares} == set(PROFILE.categories[1:])
