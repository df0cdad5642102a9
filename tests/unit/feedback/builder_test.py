from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from services.chassis.errors import FailedPrecondition
from services.feedback.datasets.builder import BuiltDataset, DatasetOrder, build
from services.feedback.domain.work import ProbeVerdict
from services.protocols.cases import Case, case_from_document
from services.protocols.material.draw import Split
from services.protocols.profile import Profile, get_profile
from services.protocols.suites.overlap import find_overlaps

PROFILE = get_profile("roo_xml")
SUITE = PROFILE.suites()[0].cases


def probe(cause_of: dict[str, str], other: str = "") -> list[ProbeVerdict]:
    return [ProbeVerdict(f"{tool}-{n}", tool, cause_of.get(tool, other)) for tool in PROFILE.tools for n in range(3)]


def order(verdicts: Sequence[ProbeVerdict], *, seed: int = 7, num_examples: int = 130) -> DatasetOrder:
    return DatasetOrder("compact", seed, num_examples, verdicts, SUITE)


def rows(built: BuiltDataset, split: str = "train") -> list[dict[str, Any]]:
    return [row for row in map(json.loads, built.content.decode().splitlines()) if row["split"] == split]


class LeakyPool:
    """The real profile, but its pool hands out cases of the suite in between, or nothing else."""

    def __init__(self, *, endless: bool = False) -> None:
        self._endless = endless

    def __getattr__(self, name: str) -> Any:
        return getattr(PROFILE, name)

    def draw(self, seed: int, count: int, *, tools: Collection[str], split: Split, **named: Any) -> Iterator[Case]:
        stolen = [case for case in SUITE if case.tool in tools]
        leaks = [replace(case, case_id=f"leak-{split}-{case.case_id}") for case in stolen]
        if self._endless:
            yield from leaks[:1] * count
            return
        for place, case in enumerate(PROFILE.draw(seed, count, tools=tools, split=split, **named)):
            yield from leaks[:1] if place % 3 == 0 else ()
            yield case


def leaky(*, endless: bool = False) -> Profile:
    profile: Any = LeakyPool(endless=endless)
    return profile  # type: ignore[no-any-return]


def test_another_failure_mix_gives_another_dataset() -> None:
    diffs = build(PROFILE, order(probe({"apply_diff": "effect_failed", "write_to_file": "bad_value"})))
    talk = build(PROFILE, order(probe({"new_task": "no_call", "ask_followup_question": "wrong_arguments"})))
    tools_of_diffs, tools_of_talk = (Counter(row["tool"] for row in rows(built)) for built in (diffs, talk))
    assert tools_of_diffs["apply_diff"] > 2 * tools_of_talk["apply_diff"]
    assert tools_of_talk["new_task"] > 2 * tools_of_diffs["new_task"]
    assert {row["cause"] for row in rows(diffs)} == {"effect_failed", "bad_value", "none"}
    assert {row["cause"] for row in rows(talk)} == {"no_call", "wrong_arguments", "none"}


def test_another_cause_of_the_same_failures_changes_what_the_rows_treat() -> None:
    silent, chatty = (build(PROFILE, order(probe({}, cause))) for cause in ("no_call", "text_after"))
    assert {row["cause"] for row in rows(silent)} == {"no_call"}
    assert {row["cause"] for row in rows(chatty)} == {"text_after"}


def test_equal_orders_give_equal_bytes_and_another_seed_gives_other_cases() -> None:
    verdicts = probe({}, "no_call")
    first, again, other = (build(PROFILE, order(verdicts, seed=seed)).content for seed in (7, 7, 8))
    assert first == again
    ids = [{row["example_id"] for row in map(json.loads, content.splitlines())} for content in (first, other)]
    assert not ids[0] & ids[1]


def test_rows_hold_what_a_trainer_and_a_judge_need() -> None:
    built = build(PROFILE, order(probe({}, "no_call")))
    assert len(rows(built)) == 130
    assert Counter(row["tool"] for row in rows(built, "validation")) == dict.fromkeys(PROFILE.tools, 2)
    everything = rows(built) + rows(built, "validation")
    assert len({row["example_id"] for row in everything}) == len(everything)
    for row in everything:
        case = case_from_document(row["case"])
        assert row["profile_id"] == "roo_xml" and row["tool"] == case.tool
        assert [message["role"] for message in row["messages"]] == ["system", "user", "assistant"]
        assert PROFILE.judge(case, PROFILE.read_answer(row["messages"][-1]["content"])).conforming


def test_a_dataset_never_holds_a_case_of_the_suite() -> None:
    built = build(PROFILE, order(probe({}, "no_call")))
    cases = [case_from_document(row["case"]) for row in rows(built) + rows(built, "validation")]
    assert find_overlaps(SUITE, cases, closed_tools=PROFILE.closed_tools) == []


def test_cases_of_the_suite_that_leak_into_the_pool_are_replaced() -> None:
    built = build(leaky(), order(probe({}, "no_call")))
    cases = [case_from_document(row["case"]) for row in rows(built) + rows(built, "validation")]
    assert built.num_replaced >= 2 * len(PROFILE.tools)
    assert len(rows(built)) == 130
    assert not {case.task for case in cases} & {case.task for case in SUITE}


def test_a_pool_that_holds_only_the_suite_is_refused() -> None:
    with pytest.raises(FailedPrecondition, match=r"too few cases of .*apply_diff"):
        build(leaky(endless=True), order(probe({}, "no_call"), num_examples=13))


def test_a_dataset_smaller_than_the_tools_is_built_all_the_same() -> None:
    built = build(PROFILE, order(probe({"apply_diff": "effect_failed"}), num_examples=3))
    assert len(rows(built)) == 3 and len(rows(built, "validation")) == 3


def test_rows_of_a_kind_that_is_drawn_often_have_ids_of_their_own_in_each_split() -> None:
    few = replace(order(probe({}, "no_call"), num_examples=150), suite_cases=SUITE[:1])
    built = build(PROFILE, few)
    ids = [row["example_id"] for split in ("train", "validation") for row in rows(built, split)]
    assert len(set(ids)) == len(ids)
