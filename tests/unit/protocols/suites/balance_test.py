from collections import Counter
from pathlib import Path

import pytest

from services.protocols.cases import Case, Expected
from services.protocols.profile import get_profile
from services.protocols.suites.balance import TooFewCases, category_of, choose_balanced
from services.protocols.suites.freeze import freeze, generate_suite
from services.protocols.suites.suite import parse_suite

PROFILE = get_profile("roo_xml")


def case(number: int, category: str, tool: str) -> Case:
    return Case(f"{category}-{number}", category, tool, "code", "t", Expected(tool), "t", "r")


def cases(**tools: str) -> list[Case]:
    return [case(number, category, tool) for category, listed in tools.items() for number, tool in enumerate(listed)]


def test_categories_give_in_turn_and_keep_their_order() -> None:
    chosen = choose_balanced(cases(a="wxyz", b="mnop"), 4, max_share=0.25)
    assert [one.case_id for one in chosen] == ["a-0", "a-1", "b-0", "b-1"]


def test_a_case_whose_tool_has_its_share_is_passed_over() -> None:
    chosen = choose_balanced(cases(a="xxxy", b="xz"), 4, max_share=0.5)
    assert [one.tool for one in chosen] == ["x", "y", "x", "z"]


def test_a_category_that_is_used_up_leaves_its_place_to_others() -> None:
    chosen = choose_balanced(cases(a="x", b="lmno"), 4, max_share=0.25)
    assert Counter(one.category for one in chosen) == {"a": 1, "b": 3}


def test_the_variety_behind_the_dot_is_no_category_of_its_own() -> None:
    assert category_of(case(0, "recovery.no_match", "x")) == "recovery"


def test_cases_that_do_not_suffice_are_an_error() -> None:
    with pytest.raises(TooFewCases, match="only 1 of 3 cases"):
        choose_balanced(cases(a="xxx"), 3, max_share=0.34)


def test_a_suite_is_the_same_for_the_same_seed() -> None:
    first, again, other = (generate_suite(PROFILE, seed, 24) for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_a_suite_is_frozen_with_its_header_and_never_written_over(tmp_path: Path) -> None:
    freeze(PROFILE, "core", 9, seed=4, count=24, folder=tmp_path)
    text = (tmp_path / "core-9.jsonl").read_text(encoding="utf-8")
    suite = parse_suite(text, suite_id="roo_xml/core", version=9, profile="roo_xml", check_case=PROFILE.check_case)
    assert len(suite.cases) == 24
    assert '"seed": "4"' in (tmp_path / "core-9.json").read_text(encoding="utf-8")
    with pytest.raises(FileExistsError):
        freeze(PROFILE, "core", 9, seed=5, count=24, folder=tmp_path)
    assert (tmp_path / "core-9.jsonl").read_text(encoding="utf-8") == text
