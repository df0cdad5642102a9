import json
from collections import Counter
from dataclasses import replace
from importlib.resources import files
from itertools import islice

import pytest

from services.protocols.cases import Case, case_from_document, case_to_document
from services.protocols.roo_xml.authoring.draw import load_stock
from services.protocols.roo_xml.authoring.skills import SKILLS
from services.protocols.roo_xml.cases import (
    SPLITS,
    core_suite,
    generate_core,
    generate_pool,
    split_of,
)
from services.protocols.roo_xml.judge import judge
from services.protocols.roo_xml.parse import ToolBlock, parse
from services.protocols.roo_xml.tools import DRILLED_TOOLS
from services.protocols.suites import suite_text

CORE_DIGEST = "sha256:975de1b67378848eadcb6bda4508603448b76ad44556dad58c02b9b38586fd37"


def assert_references_conform(cases: list[Case]) -> None:
    wrong = {case.case_id: judge(case, case.reference).sentence for case in cases if not fits(case)}
    assert wrong == {}


def fits(case: Case) -> bool:
    verdict = judge(case, case.reference)
    return verdict.conforming and verdict.accepted and verdict.well_formed


def test_the_generator_gives_the_stored_suite_byte_for_byte() -> None:
    stored = files("services.protocols.roo_xml").joinpath("suites", "core-1.jsonl").read_bytes()
    assert suite_text(generate_core()).encode() == stored
    assert core_suite().digest == CORE_DIGEST


def test_the_suite_covers_each_tool_ten_times() -> None:
    suite = core_suite()
    assert Counter(case.tool for case in suite.cases) == dict.fromkeys(DRILLED_TOOLS, 10)
    assert (suite.suite_id, suite.version, suite.profile) == ("roo_xml/core", 1, "roo_xml")
    assert len({case.task for case in suite.cases}) >= 125


def test_every_reference_answer_of_the_suite_conforms() -> None:
    assert_references_conform(list(core_suite().cases))


@pytest.mark.parametrize("seed", [0, 7])
def test_every_reference_answer_of_the_pool_conforms(seed: int) -> None:
    assert_references_conform(list(generate_pool(seed, 1_300)))


def test_no_single_answer_goes_far() -> None:
    cases = core_suite().cases
    for case in cases[::3]:
        fitting = [other.tool for other in cases if judge(other, case.reference).conforming]
        assert set(fitting) == {case.tool}
        assert len(fitting) <= 5


def test_an_answer_without_its_last_tag_never_conforms_but_is_run() -> None:
    for case in core_suite().cases:
        cut = case.reference.rpartition("\n")[0]
        verdict = judge(case, cut)
        assert not verdict.conforming
        assert verdict.accepted


def test_the_expected_arguments_are_those_of_the_reference() -> None:
    for case in generate_pool(3, 200):
        call = parse(case.reference)[0]
        assert isinstance(call, ToolBlock)
        assert call.name == case.expected.tool == case.tool


def test_the_pool_is_balanced_and_repeats_no_task() -> None:
    cases = list(generate_pool(5, 1_300))
    assert Counter(case.tool for case in cases) == dict.fromkeys(DRILLED_TOOLS, 100)
    assert len({case.task for case in cases}) == len({case.case_id for case in cases}) == 1_300


def test_the_seed_decides_the_pool() -> None:
    first, again, other = (list(generate_pool(seed, 60)) for seed in (1, 1, 2))
    assert first == again
    assert not {case.task for case in first} & {case.task for case in other}


def test_only_the_chosen_tools_are_drawn() -> None:
    cases = list(generate_pool(1, 30, tools=("new_task", "read_file")))
    assert Counter(case.tool for case in cases) == {"read_file": 15, "new_task": 15}
    with pytest.raises(ValueError, match="browser_action"):
        next(generate_pool(1, 1, tools=("browser_action",)))


def test_splits_share_no_case_and_no_call() -> None:
    seen: dict[str, str] = {}
    for split in SPLITS:
        for case in generate_pool(4, 400, split=split):
            arguments = json.dumps(dict(case.expected.arguments), sort_keys=True)
            key = case.task if case.tool == "fetch_instructions" else f"{case.tool} {arguments}"
            assert seen.setdefault(key, split) == split
            assert split_of(case) == split


def test_a_probe_is_balanced() -> None:
    probe = list(generate_pool(9, 48, split="probe"))
    assert set(Counter(case.tool for case in probe).values()) == {3, 4}
    assert {split_of(case) for case in probe} == {"probe"}


def test_every_pool_case_survives_its_document() -> None:
    for case in generate_pool(2, 130):
        assert case_from_document(json.loads(json.dumps(case_to_document(case)))) == case


def test_every_skill_has_wordings_in_both_stocks_and_the_pool_many() -> None:
    suite, pool = load_stock("suite"), load_stock("pool")
    for tool, skills in SKILLS.items():
        assert sum(count for count, _ in skills.values()) == 10
        assert set(suite.wordings[tool]) == set(pool.wordings[tool]) == set(skills)
        assert sum(map(len, pool.wordings[tool].values())) >= 12


def test_every_wording_of_the_pool_is_drawn() -> None:
    pool = load_stock("pool")
    written = sum(len(wordings) for skills in pool.wordings.values() for wordings in skills.values())
    drawn = {(case.category, case.template) for case in islice(generate_pool(0, 6_000), 6_000)}
    assert len(drawn) > 0.98 * written


def test_a_changed_detail_is_noticed() -> None:
    for case in core_suite().cases:
        other = replace(
            case, expected=replace(case.expected, arguments={**case.expected.arguments, "path": "elsewhere"})
        )
        assert not judge(other, case.reference).conforming
