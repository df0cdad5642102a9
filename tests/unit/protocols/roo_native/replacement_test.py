import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.protocols.javascript.text import SPACES
from services.protocols.roo_native.tools.edit.loose_match import loose_matches
from services.protocols.roo_native.tools.edit.replacement import EditError, edited, search_replaced, tolerantly_edited
from tests.machine import takes_less_than


def test_one_occurrence_is_replaced() -> None:
    assert edited("a b c", "b", "x", replace_all=False) == "a x c"


@pytest.mark.parametrize(("old", "code"), [("z", "no_match"), ("a", "several_matches")])
def test_the_string_must_stand_there_once(old: str, code: str) -> None:
    for replace in (lambda: edited("a a", old, "x", replace_all=False), lambda: search_replaced("a a", old, "x")):
        with pytest.raises(EditError) as caught:
            replace()
        assert caught.value.code == code


def test_every_occurrence_is_replaced_on_demand() -> None:
    assert edited("a.a.a", "a", "$&", replace_all=True) == "$&.$&.$&"


def test_line_breaks_are_those_of_the_file() -> None:
    assert edited("a\r\nb\r\n", "a\nb", "x\ny", replace_all=False) == "x\r\ny\r\n"
    assert search_replaced("a\nb\n", "a\r\nb", "x\r\ny") == "x\ny\n"


@pytest.mark.parametrize(
    ("new", "text"), [("$$", "<$>"), ("$&$&", "<bb>"), ("$`", "<<>"), ("$'", "<>>"), ("$1", "<$1>"), ("$", "<$>")]
)
def test_dollar_signs_of_a_search_replace_count(new: str, text: str) -> None:
    assert search_replaced("<b>", "b", new) == text


def test_the_exact_string_goes_first_then_blanks_then_words() -> None:
    assert tolerantly_edited("a  b\na b", "a b", "x", 1) == "a  b\nx"
    assert tolerantly_edited("f( a,\tb )", "f( a, b )", "x", 1) == "x"
    assert tolerantly_edited("if a:\n    b\n", "if a:\n  b\n", "x\n", 1) == "x\n"
    assert tolerantly_edited("one\n\n two", " one two ", "x", 1) == "x"


def test_blanks_in_a_line_do_not_stand_for_a_line_break_until_words_are_compared() -> None:
    assert tolerantly_edited("a\nb a\tb", "a b", "x", 1) == "a\nb x"


@pytest.mark.parametrize(
    ("text", "old", "expected", "code"),
    [
        ("abc", "z", 1, "no_match"),
        ("a a", "a", 1, "count_mismatch"),
        ("a", "a", 2, "count_mismatch"),
        ("a", "a", float("nan"), "count_mismatch"),
        ("a", "x", 1, "identical"),
        ("abc", "   ", 1, "no_match"),
    ],
)
def test_counts_must_be_as_expected(text: str, old: str, expected: float, code: str) -> None:
    with pytest.raises(EditError) as caught:
        tolerantly_edited(text, old, "x", expected)
    assert caught.value.code == code


def test_several_occurrences_can_be_expected() -> None:
    assert tolerantly_edited("a b a", "a", r"\1", 2) == r"\1 b \1"


def test_a_file_with_crlf_keeps_it_throughout() -> None:
    assert tolerantly_edited("a\r\nb\nc", "b", "x", 1) == "a\r\nx\r\nc"


texts = st.text(alphabet="ab \n\t.$\\(", max_size=12)


@given(texts, texts.filter(bool), texts)
def test_every_replacement_is_done_or_refused(text: str, old: str, new: str) -> None:
    for replace in (
        lambda: edited(text, old, new, replace_all=True),
        lambda: search_replaced(text, old, new),
        lambda: tolerantly_edited(text, old, new, 1),
    ):
        try:
            assert isinstance(replace(), str)
        except EditError as bad:
            assert bad.code in ("identical", "no_match", "several_matches", "count_mismatch")


def _expressions(string: str) -> tuple[str, str]:
    """Return what the client searches with, which takes the product of both lengths."""
    blank = f"[{SPACES}]+"
    runs = re.findall(f"{blank}|[^{SPACES}]+", string)
    alike = "".join((blank if "\n" in run else "[\t ]+") if run.isspace() else re.escape(run) for run in runs)
    return alike, blank.join(re.escape(run) for run in runs if not run.isspace()) or "(?!)"


@given(st.text("ab \n\t\xa0", max_size=40), st.text("ab \n\t\xa0", min_size=1, max_size=6))
def test_loose_matches_are_those_of_the_clients_expressions(text: str, string: str) -> None:
    for is_any_blank, expression in enumerate(_expressions(string)):
        spans = [match.span() for match in re.finditer(expression, text)]
        assert loose_matches(text, string, is_any_blank=bool(is_any_blank)) == spans


@pytest.mark.parametrize(
    ("text", "old"),
    [
        (" " * 100_000, " x"),
        ("a " * 50_000, "a " * 25_000 + "b"),
        ("a " * 50_000, "b" + " a" * 25_000),
        (("a\n" + "a " * 9) * 5_000, "a\na " * 6_000 + "a  a"),
    ],
)
def test_a_long_edit_takes_time_by_its_length_and_not_by_its_square(text: str, old: str) -> None:
    def refuse() -> None:
        with pytest.raises(EditError):
            tolerantly_edited(text, old, "x", 7)

    # By the square it is seconds to minutes, and every other thread waits.
    assert takes_less_than(2, refuse)
