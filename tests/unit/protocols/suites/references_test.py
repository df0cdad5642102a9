"""Cases whose own reference does not conform."""

from dataclasses import replace

import pytest

from services.protocols.cases import Case, Expected, Scoring
from services.protocols.openai_tools.parse import written_call
from services.protocols.profile import get_profile
from services.protocols.suites.references import reference_problem

OPENAI, TEXT = get_profile("openai_tools"), get_profile("text")
TOOL = {"type": "function", "function": {"name": "keep", "parameters": {"properties": {"n": {"type": "integer"}}}}}
CASE = Case(
    *("c", "k", "keep", "", "Please.", Expected("keep", {"n": 1}), "t"), written_call("keep", {"n": 1}), tools=(TOOL,)
)
QUESTION = Case(
    *("c", "k", "text", "", "2+2?", Expected("text", no_call=True), "t", "4"), scoring=Scoring("exact", ("4",))
)


@pytest.mark.parametrize(
    ("case", "problem"),
    [
        (CASE, ""),
        (replace(CASE, reference=" "), ""),
        (replace(CASE, reference=written_call("keep", {"n": 2})), "n is 2, not 1"),
        (replace(CASE, expected=Expected("keep", {"n": "x"}), reference=""), "'integer'"),
        (
            replace(CASE, expected=Expected("keep", {"n": 1}, further=(Expected("keep", {"n": []}),)), reference=""),
            "n:",
        ),
        (replace(CASE, reference="keep"), "plain text without a call"),
        (replace(CASE, expected=Expected("keep", {"n": "x"}), reference=written_call("keep", {"n": "x"})), "'integer'"),
        (replace(CASE, tools=()), "There is no function"),
        (replace(CASE, tools=({"type": "what"},)), "must be an object with type function"),
        (replace(CASE, max_turns=3, reference="x"), ""),
    ],
)
def test_a_reference_is_judged_as_an_answer(case: Case, problem: str) -> None:
    found = reference_problem(OPENAI, case)
    assert problem in found and bool(problem) == bool(found)


def test_answers_in_words_are_scored_and_patterns_are_none() -> None:
    assert reference_problem(TEXT, QUESTION) == ""
    assert "exact" in reference_problem(TEXT, replace(QUESTION, reference="5"))
    assert reference_problem(TEXT, replace(QUESTION, reference="^\\d$", scoring=Scoring("regex", ("^\\d$",)))) == ""
    assert "regex" in reference_problem(TEXT, replace(QUESTION, reference="four", scoring=Scoring("regex", ("^\\d$",))))


@pytest.mark.parametrize("profile_id", ["roo_xml", "roo_native", "openai_tools"])
def test_a_solution_is_played_to_its_end(profile_id: str) -> None:
    profile = get_profile(profile_id)
    case = next(case for suite in profile.suites() for case in suite.cases if len(case.solution) > 1)
    assert reference_problem(profile, case) == ""
    assert reference_problem(profile, replace(case, solution=case.solution[:1])) != ""
