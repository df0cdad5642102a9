from collections import Counter
from dataclasses import replace

from services.protocols.profile import get_profile
from services.protocols.roo_xml.judge import judge
from services.protocols.roo_xml.parse import ToolBlock, parse
from services.protocols.roo_xml.tools import DRILLED_TOOLS

PROFILE = get_profile("roo_xml")
SUITE = PROFILE.suites()[0]


def test_the_suite_covers_each_tool_ten_times() -> None:
    assert Counter(case.tool for case in SUITE.cases) == dict.fromkeys(DRILLED_TOOLS, 10)
    assert (SUITE.suite_id, SUITE.version, SUITE.profile) == ("roo_xml/core", 1, "roo_xml")
    assert len({case.task for case in SUITE.cases}) >= 125


def test_no_single_answer_goes_far() -> None:
    cases = SUITE.cases
    for case in cases[::3]:
        fitting = [other.tool for other in cases if judge(other, case.reference).conforming]
        assert set(fitting) == {case.tool}
        assert len(fitting) <= 5


def test_an_answer_without_its_last_tag_never_conforms_but_is_run() -> None:
    for case in SUITE.cases:
        cut = case.reference.rpartition("\n")[0]
        verdict = judge(case, cut)
        assert not verdict.conforming
        assert verdict.accepted


def test_the_expected_arguments_are_those_of_the_reference() -> None:
    for case in PROFILE.draw(3, 130, categories=("single_call",)):
        call = parse(case.reference)[0]
        assert isinstance(call, ToolBlock)
        assert call.name == case.expected.tool == case.tool


def test_a_changed_detail_is_noticed() -> None:
    for case in SUITE.cases:
        other = replace(
            case, expected=replace(case.expected, arguments={**case.expected.arguments, "path": "elsewhere"})
        )
        assert not judge(other, case.reference).conforming
