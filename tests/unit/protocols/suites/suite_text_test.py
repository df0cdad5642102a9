import hashlib
import json
from dataclasses import replace

import pytest

from services.protocols.cases import Case, Expected, case_to_document
from services.protocols.roo_xml.profile import PROFILE
from services.protocols.suites.suite import SuiteError, parse_suite, suite_text


def a_case(case_id: str) -> Case:
    return Case(case_id, "k", "list_files", "code", "tâsk", Expected("list_files", {"path": "."}), "t", "r")


def parsed(text: str) -> object:
    return parse_suite(text, suite_id="x/y", version=3, profile="roo_xml", check_case=PROFILE.check_case)


def test_a_suite_survives_its_text() -> None:
    text = suite_text([a_case("one"), a_case("two")])
    suite = parse_suite(text, suite_id="x/y", version=3, profile="roo_xml", check_case=PROFILE.check_case)
    assert [case.case_id for case in suite.cases] == ["one", "two"]
    assert suite.digest == "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    assert (suite.suite_id, suite.version, suite.profile) == ("x/y", 3, "roo_xml")


def test_blank_lines_are_skipped_but_counted() -> None:
    with pytest.raises(SuiteError) as caught:
        parsed("\n" + suite_text([a_case("one")]) + "\n{nonsense\n")
    assert caught.value.line == 4
    assert "not JSON" in str(caught.value)


def test_a_line_that_is_no_case_is_named_with_its_field() -> None:
    document = case_to_document(a_case("one"))
    del document["task"]
    with pytest.raises(SuiteError, match="line 1: task: is missing"):
        parsed(json.dumps(document))


def test_a_case_id_may_stand_once() -> None:
    with pytest.raises(SuiteError, match="line 2: case id 'one' stands on line 1 too"):
        parsed(suite_text([a_case("one"), a_case("one")]))


def test_a_suite_without_cases_is_refused() -> None:
    with pytest.raises(SuiteError, match="holds no case"):
        parsed("\n\n")


def test_hostile_nesting_is_refused() -> None:
    with pytest.raises(SuiteError, match="nested too deep"):
        parsed("[" * 200_000)


def test_a_case_that_asks_for_what_the_profile_does_not_have_is_named() -> None:
    case = replace(a_case("one"), tool="fly", expected=Expected("fly"))
    with pytest.raises(SuiteError, match=r"line 2: expected\.tool: the protocol has no tool 'fly'"):
        parsed(suite_text([a_case("two"), case]))
    with pytest.raises(SuiteError, match="line 1: mode: there is no mode 'sleep'"):
        parsed(suite_text([replace(a_case("one"), mode="sleep")]))


def test_a_number_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(SuiteError, match="line 1: not JSON that can be read"):
        parsed("9" * 5_000)
