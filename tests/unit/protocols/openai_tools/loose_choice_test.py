import pytest

from services.protocols.cases import Case, Choice, Expected, case_from_document, case_to_document
from services.protocols.openai_tools.judge import judge
from services.protocols.openai_tools.parse import read_answer, written_call

TOOL = {
    "type": "function",
    "function": {"name": "find", "parameters": {"type": "object", "properties": {"place": {}, "size": {}}}},
}


def case(*, loose: bool) -> Case:
    choice = Choice("place", ("Bath",), loose=loose)
    expected = Expected("find", {"place": "New York, N.Y.", "size": 5}, choices=(choice,))
    return Case("c", "k", "find", "", "t", expected, "t", "r", tools=(TOOL,))


@pytest.mark.parametrize(
    ("place", "strictly", "loosely"),
    [
        ("New York, N.Y.", True, True),
        ("Bath", True, True),
        ("new york NY", False, True),
        ("bath.", False, True),
        ("York", False, False),
        (["Bath"], False, False),
    ],
)
def test_case_blanks_and_marks_count_unless_the_choice_is_loose(place: object, strictly: bool, loosely: bool) -> None:
    answer = read_answer(written_call("find", {"place": place, "size": 5}))
    assert judge(case(loose=False), answer).conforming is strictly
    assert judge(case(loose=True), answer).conforming is loosely


def test_only_the_loose_argument_is_compared_loosely() -> None:
    answer = read_answer(written_call("find", {"place": "bath", "size": "5"}))
    assert not judge(case(loose=True), answer).conforming


def test_a_loose_choice_survives_its_document_and_others_keep_their_bytes() -> None:
    assert case_from_document(case_to_document(case(loose=True))) == case(loose=True)
    assert "loose" not in str(case_to_document(case(loose=False)))
