"""The suites that ship with the product."""

import json
from collections import Counter
from importlib.resources import files

import pytest

from services.protocols.profile import get_profile
from services.protocols.session import Session, judge_session
from services.protocols.suites.balance import category_of
from services.protocols.suites.suite import Suite, suite_text

DIGESTS = {
    ("roo_xml/core", 1): "sha256:975de1b67378848eadcb6bda4508603448b76ad44556dad58c02b9b38586fd37",
    ("roo_xml/core", 2): "sha256:aee9c86882ef569be7dff0731a98b1740119fce451ab8e7c13c11c64af375206",
    ("roo_xml/smoke", 1): "sha256:0fb01d7a3e7a4ed695cf3a54eeda4d9123c8baa6f5f1b52b41ce497274336a57",
    ("roo_native/core", 1): "sha256:aad896f906579de0e10cc3951c7aca59a358e17ee24c56d9ef1e8d8f802202bf",
    ("roo_native/core", 2): "sha256:585bdc1b21e250017274b5cba9733e89bfb6511b0d35ceca60d699245294d599",
    ("roo_native/smoke", 1): "sha256:bbf61138bb165aacea430548156ed5f45cca17f6f1faf139269d9328eab13cca",
    ("openai_tools/core", 1): "sha256:f6ee880bbba222ac792eaf59ce19426a6152f186204a25a85cfdcf278ef157a7",
    ("openai_tools/smoke", 1): "sha256:91228ca13333017ac860cd8dbaf4020ae38729713b7eaa8fadfe08af74d6a329",
    ("openai_tools/smoke", 2): "sha256:b8fddcff611f6741222e2c3b83d952e97af70ce19e9d0bfc69126d1a2c0d85e5",
    ("text/smoke", 1): "sha256:b5fbd9e75b51a0303bd6fe6514e642df85e3a1da27d72ccc0ed43950bee7ca19",
}
"""Versions never change, whatever becomes of the generators that made them."""

SUITES = {
    (suite.suite_id, suite.version): suite
    for profile_id in ("roo_xml", "roo_native", "openai_tools", "text")
    for suite in get_profile(profile_id).suites()
}
CORES = (("roo_xml/core", 2), ("roo_native/core", 2), ("openai_tools/core", 1))
SMOKES = (("roo_xml/smoke", 1), ("roo_native/smoke", 1), ("openai_tools/smoke", 2), ("text/smoke", 1))
PROFILES = ("roo_xml", "roo_native", "openai_tools")


def references_that_fail(suite: Suite) -> dict[str, str]:
    profile, found = get_profile(suite.profile), {}
    for case in suite.cases:
        session = Session(profile, case, profile.prompt_sizes[0])
        for answer in case.solution or (profile.read_answer(profile.reference_answer(case)),):
            session.answer(answer)
        verdict = judge_session(profile, case, session.transcript())
        if not (verdict.conforming and verdict.accepted and verdict.well_formed):
            found[case.case_id] = verdict.sentence
    return found


def test_every_suite_is_the_one_that_was_frozen() -> None:
    assert {key: suite.digest for key, suite in SUITES.items()} == DIGESTS


@pytest.mark.parametrize("key", DIGESTS, ids=str)
def test_every_reference_answer_conforms(key: tuple[str, int]) -> None:
    assert references_that_fail(SUITES[key]) == {}


@pytest.mark.parametrize("key", CORES, ids=str)
def test_a_core_suite_is_large_and_balanced(key: tuple[str, int]) -> None:
    cases = SUITES[key].cases
    assert len(cases) >= 300
    assert len(set(map(category_of, cases))) >= 12
    assert max(Counter(case.tool for case in cases).values()) <= len(cases) / 10
    assert any(case.max_turns > 1 for case in cases)


@pytest.mark.parametrize("key", SMOKES, ids=str)
def test_a_smoke_suite_has_24_cases(key: tuple[str, int]) -> None:
    cases = SUITES[key].cases
    assert len(cases) == 24
    assert key[0] == "text/smoke" or max(Counter(case.tool for case in cases).values()) <= 24 / 10


@pytest.mark.parametrize("key", DIGESTS, ids=str)
def test_every_suite_says_where_it_comes_from(key: tuple[str, int]) -> None:
    known = SUITES[key].provenance
    assert (known.licence, bool(known.generator)) == ("Apache-2.0", True)


@pytest.mark.parametrize("key", DIGESTS, ids=str)
def test_a_stored_suite_is_written_as_it_is_read(key: tuple[str, int]) -> None:
    suite = SUITES[key]
    rows = [json.loads(line) for line in suite.text.splitlines()]
    assert [json.loads(line) for line in suite_text(suite.cases).splitlines()] == rows


def test_every_file_of_cases_has_its_header() -> None:
    for package in ("roo_xml", "roo_native", "openai_tools", "plain_text"):
        names = {entry.name for entry in files(f"services.protocols.{package}").joinpath("suites").iterdir()}
        cases = {name.removesuffix(".jsonl") for name in names if name.endswith(".jsonl")}
        assert cases == {name.removesuffix(".json") for name in names if name.endswith(".json")}
        assert cases
