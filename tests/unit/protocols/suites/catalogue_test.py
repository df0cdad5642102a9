"""Drawing from the material of each protocol: balance, seeds, splits, stocks."""

import json
from collections import Counter
from dataclasses import replace
from functools import cache

import pytest

from services.protocols.cases import Case, case_from_document, case_to_document
from services.protocols.material.catalogue import SINGLE_CALL, Catalogue, StockExhausted, UnknownCategory
from services.protocols.material.draw import SLOT, Split, StockName, load_stock
from services.protocols.openai_tools.scenario_case import CATALOGUE as FUNCTIONS
from services.protocols.profile import get_profile
from services.protocols.roo.profile import CATALOGUE as ROO
from services.protocols.suites.balance import category_of
from services.protocols.suites.freeze import generate_suite
from services.protocols.suites.overlap import find_overlaps
from services.protocols.suites.references import reference_problem
from services.protocols.suites.suite import suite_text

PROFILES = ("roo_xml", "roo_native", "openai_tools")
SPLITS: tuple[Split, ...] = ("train", "validation", "probe")
STOCKS: tuple[StockName, ...] = ("suite", "pool")
CATALOGUES = pytest.mark.parametrize("catalogue", [ROO, FUNCTIONS], ids=["roo", "openai_tools"])
EACH = pytest.mark.parametrize("profile_id", PROFILES)


@cache
def drawn(profile_id: str, seed: int, count: int, split: Split = "train") -> tuple[Case, ...]:
    return tuple(get_profile(profile_id).draw(seed, count, split=split))


@cache
def single_calls(profile_id: str, seed: int = 5) -> tuple[Case, ...]:
    return tuple(get_profile(profile_id).draw(seed, 390, categories=(SINGLE_CALL,)))


@EACH
def test_categories_come_in_turn_and_no_task_comes_twice(profile_id: str) -> None:
    cases = drawn(profile_id, 3, 300)
    assert Counter(map(category_of, cases)) == dict.fromkeys(get_profile(profile_id).categories, 20)
    assert len({case.case_id for case in cases}) == len({(category_of(case), case.task) for case in cases}) == 300


@EACH
def test_single_calls_are_balanced_over_the_tools_and_conform(profile_id: str) -> None:
    profile, cases = get_profile(profile_id), single_calls(profile_id)
    counts = Counter(case.tool for case in cases)
    assert counts.keys() == set(profile.tools) and max(counts.values()) - min(counts.values()) <= 1
    assert len({case.task for case in cases}) == len(cases)
    assert {case.case_id: problem for case in cases if (problem := reference_problem(profile, case))} == {}
    for case in cases[::9]:
        assert case_from_document(json.loads(json.dumps(case_to_document(case), default=dict))) == case


@CATALOGUES
def test_every_wording_of_single_calls_is_drawn(catalogue: Catalogue) -> None:
    kinds = catalogue.categories[SINGLE_CALL]
    wordings = load_stock(catalogue.package, "pool").wordings
    written = sum(len(wordings[group][name]) for group, name in {kind.wordings for kind in kinds.values()})
    scenarios = catalogue.draw(0, 2_400, categories=(SINGLE_CALL,))
    assert len({(one.category, one.template) for one in scenarios}) > 0.95 * written


@EACH
def test_the_seed_decides_and_categories_do_not_disturb_each_other(profile_id: str) -> None:
    profile = get_profile(profile_id)
    first, other = drawn(profile_id, 1, 45), drawn(profile_id, 2, 45)
    assert first == tuple(profile.draw(1, 45))
    assert not {case.task for case in first if "```" in case.task} & {case.task for case in other}
    alone = list(profile.draw(1, 3, categories=("recovery",)))
    assert alone == [case for case in first if category_of(case) == "recovery"]


def test_tools_come_in_turn_and_may_be_joined_with_categories() -> None:
    profile = get_profile("roo_native")
    cases = list(profile.draw(1, 30, tools=("new_task", "skill")))
    assert Counter(case.tool for case in cases) == {"new_task": 15, "skill": 15}
    assert len(set(map(category_of, cases))) >= 4
    cases = list(profile.draw(1, 6, tools=("apply_diff",), categories=("recovery", "odd_text")))
    assert {(case.tool, category_of(case)) for case in cases} == {
        ("apply_diff", "recovery"),
        ("apply_diff", "odd_text"),
    }
    assert {case.tool for case in profile.draw(1, 4, tools=("skill",), categories=(SINGLE_CALL,))} == {"skill"}
    with pytest.raises(StockExhausted, match="single_call-browser_action"):
        next(profile.draw(1, 1, tools=("browser_action",), categories=(SINGLE_CALL,)))


@CATALOGUES
def test_splits_share_no_right_answer(catalogue: Catalogue) -> None:
    splits: dict[str, str] = {}
    for split in SPLITS:
        for seed in (0, 1):
            for scenario in catalogue.draw(seed, 300, split=split):
                calls = [[step.tool, dict(step.arguments)] for turn in scenario.draft.turns[:1] for step in turn]
                is_closed = not calls or any(tool in catalogue.closed_tools for tool, _ in calls)
                key = scenario.request if is_closed else json.dumps(calls, sort_keys=True)
                assert splits.setdefault(key, split) == split
                assert scenario.request in scenario.task
                # In another frame it is no other task.
                framed = replace(scenario, task=f"Hi! {scenario.task}")
                assert catalogue.split_of(scenario) == catalogue.split_of(framed) == split


@EACH
def test_a_probe_is_balanced_over_tools(profile_id: str) -> None:
    profile = get_profile(profile_id)
    probe = list(profile.draw(9, 3 * len(profile.tools), categories=(SINGLE_CALL,), split="probe"))
    assert set(Counter(case.tool for case in probe).values()) == {3}


@EACH
def test_suites_and_pool_share_nothing_whatever_seed_and_split(profile_id: str) -> None:
    profile = get_profile(profile_id)
    suites = [case for suite in profile.suites() for case in suite.cases]
    suites += profile.draw(0, 300, stock="suite")
    for seed, split in enumerate(SPLITS):
        pool = drawn(profile_id, seed, 450, split)
        assert find_overlaps(suites, pool, closed_tools=profile.closed_tools) == []
    assert find_overlaps(suites, single_calls(profile_id), closed_tools=profile.closed_tools) == []


@EACH
def test_a_suite_that_was_frozen_can_be_drawn_again(profile_id: str) -> None:
    profile = get_profile(profile_id)
    suite = next(suite for suite in profile.suites() if "freeze" in suite.provenance.generator)
    text = suite_text(generate_suite(profile, int(suite.provenance.seed), len(suite.cases)))
    assert text == suite.text


@CATALOGUES
def test_both_stocks_have_wordings_for_every_kind_and_no_others(catalogue: Catalogue) -> None:
    every = [kind for kinds in catalogue.categories.values() for kind in kinds.values()]
    for name in STOCKS:
        wordings = {kind.wordings for kind in every if kind.stock in ("", name)}
        stock = load_stock(catalogue.package, name)
        assert {(group, key) for group, entries in stock.wordings.items() for key in entries} == wordings


def test_the_pool_of_the_roo_clients_has_many_wordings() -> None:
    pool = load_stock(ROO.package, "pool").wordings
    assert min(len(wordings) for group in pool.values() for wordings in group.values()) >= 2
    for tool in get_profile("roo_xml").tools:
        assert sum(map(len, pool[tool].values())) >= 12
    for category, kinds in ROO.categories.items():
        for kind in kinds.values() if category != SINGLE_CALL else ():
            group, key = kind.wordings
            assert len(pool[group][key]) >= 6, kind.wordings


def test_a_wording_of_the_pool_may_stand_for_all_of_another_name() -> None:
    pool = load_stock(ROO.package, "pool").wordings
    assert set(pool["edit_by_diff"]["value"]) > {*pool["apply_diff"]["value"], *pool["tool_choice"]["diff"]}
    for group in pool.values():
        for wordings in group.values():
            assert len(set(wordings)) == len(wordings)
            assert not any(wording.startswith("@") for wording in wordings)


def test_a_kind_of_one_stock_is_drawn_from_that_alone() -> None:
    kinds = ROO.for_protocol("roo_xml").categories["todo_turns"]
    for name in STOCKS:
        drawn = ROO.for_protocol("roo_xml").draw(1, 24, categories=("todo_turns",), stock=name)
        of_stock = {kind for kind, entry in kinds.items() if entry.stock in ("", name)}
        assert {scenario.category.partition(".")[2] for scenario in drawn} == of_stock < set(kinds)


def test_tasks_of_the_pool_stand_in_many_frames_and_single_calls_in_none() -> None:
    wordings = {
        text for group in load_stock(ROO.package, "pool").wordings.values() for kind in group.values() for text in kind
    }
    bare = {SLOT.sub("{}", wording) for wording in wordings}
    categories = [category for category in ROO.categories if category != SINGLE_CALL]
    framed = [scenario.template not in bare for scenario in ROO.draw(2, 300, categories=categories)]
    assert 0.6 < sum(framed) / len(framed) < 0.95
    assert all(scenario.template in bare for scenario in ROO.draw(2, 130, categories=(SINGLE_CALL,)))


@EACH
def test_unknown_categories_are_refused(profile_id: str) -> None:
    profile = get_profile(profile_id)
    with pytest.raises(UnknownCategory, match="juggling is no category; the categories are: single_call, tool_choice"):
        next(profile.draw(0, 1, categories=("juggling", "recovery")))
    with pytest.raises(UnknownCategory, match="nothing"):
        next(profile.draw(0, 1, categories=()))


def test_the_classic_client_has_single_calls_alone() -> None:
    classic = get_profile("roo_xml_classic")
    assert classic.categories == (SINGLE_CALL,)
    assert {case.tool for case in classic.draw(0, 13)} == set(classic.tools)


def test_an_exhausted_stock_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.protocols.material.catalogue._MAX_MISSES", 1)
    with pytest.raises(StockExhausted, match="the stock of pool-0 has no further scenario of todo_turns"):
        list(get_profile("roo_xml").draw(0, 500, categories=("todo_turns",), split="probe"))
