import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.protocols.roo.diff.apply import apply_diff, normalised, similarity
from services.protocols.roo.diff.blocks import both_numbered, first_number, lines_of, strip_numbers
from tests.machine import takes_less_than

FILE = "one\ntwo\n    three\nfour\n"


def block(search: str, replace: str, head: str = ":start_line:{n}\n-------\n", line: int = 1) -> str:
    return f"<<<<<<< SEARCH\n{head.format(n=line)}{search}\n=======\n{replace}\n>>>>>>> REPLACE"


def result(diff: str, original: str = FILE, threshold: float = 1.0) -> str | None:
    return apply_diff(original, diff, threshold=threshold).content


def reason(diff: str, original: str = FILE) -> str | None:
    outcome = apply_diff(original, diff)
    return outcome.failed[-1].fault if outcome.failed else outcome.fault


def test_a_block_replaces_the_lines_that_it_finds() -> None:
    assert result(block("two", "2", line=2)) == "one\n2\n    three\nfour\n"


@pytest.mark.parametrize("head", ["", "-------\n", ":start_line:2\n", ":start_line:2\n:end_line:2\n-------\n", "\n\n"])
def test_start_line_end_line_and_dashes_are_optional_for_the_client(head: str) -> None:
    assert result(block("two", "2", head)) == "one\n2\n    three\nfour\n"


def test_the_blocks_tell_which_parts_of_the_form_they_have() -> None:
    (written,) = apply_diff(FILE, block("two", "2", ":start_line:2\n")).blocks
    assert (written.start_line, written.has_start_line, written.has_dashes) == (2, True, False)


def test_later_blocks_follow_what_earlier_ones_moved() -> None:
    diff = "\n\n".join((block("four", "4", line=4), block("one", "1\n1a\n1b", line=1)))
    assert result(diff) == "1\n1a\n1b\ntwo\n    three\n4\n"


def test_one_applied_block_is_enough() -> None:
    outcome = apply_diff(FILE, block("two", "2", line=2) + "\n" + block("nine", "9", line=3))
    assert outcome.content == "one\n2\n    three\nfour\n"
    assert [failed.fault for failed in outcome.failed] == ["no_match"]


def test_an_empty_replacement_deletes() -> None:
    assert result("<<<<<<< SEARCH\n:start_line:2\n-------\ntwo\n=======\n>>>>>>> REPLACE") == "one\n    three\nfour\n"


def test_a_wrong_start_line_is_searched_around_and_not_beyond_forty_lines() -> None:
    far = "\n".join(f"line {number}" for number in range(200))
    assert result(block("line 50", "x", line=90), far) is not None
    assert result(block("line 10", "x", line=90), far) is None


def test_among_equal_places_the_one_nearest_the_middle_wins() -> None:
    assert result(block("a", "X", ""), "a\nb\na\nb\na\nb\na") == "a\nb\na\nb\nX\nb\na"


def test_blanks_and_typography_need_not_match_but_indentation_is_kept() -> None:
    assert result(block("three", "drei\n  vier", line=3)) == "one\ntwo\n    drei\n      vier\nfour\n"
    assert result(block('say "x"...', "y", ""), "say “x”…") == "y"


def test_an_indentation_may_shrink() -> None:
    assert result(block("    three", "three", line=3)) == "one\ntwo\nthree\nfour\n"


def test_line_numbers_are_stripped_and_the_first_is_used() -> None:
    assert result(block("2 | two", "2 | 2", "-------\n")) == "one\n2\n    three\nfour\n"
    assert result(block("| two", "| 2", line=2)) == "one\n2\n    three\nfour\n"


def test_markers_inside_are_escaped_by_a_backslash() -> None:
    assert result(block("\\=======", "\\-------", line=2), "a\n=======\nb") == "a\n-------\nb"


def test_windows_line_ends_are_kept() -> None:
    assert result(block("two", "2", line=2), "one\r\ntwo\r\n") == "one\r\n2\r\n"


@pytest.mark.parametrize(
    ("diff", "fault"),
    [
        ("=======\nx", "stray_marker"),
        ("<<<<<<< SEARCH\na\n=======\n=======\nb\n>>>>>>> REPLACE", "stray_marker"),
        ("<<<<<<< SEARCH\na\n<<<<<<< SEARCH\n", "marker_order"),
        ("=======\n<<<<<<< SEARCH", "marker_order"),
        ("<<<<<<< HEAD\n", "stray_marker"),
        (">>>>>>> REPLACE", "marker_order"),
        ("<<<<<<< SEARCH\na\n=======\n>>>>>>> main\n", "stray_marker"),
        ("<<<<<<< SEARCH\na\n=======\n:start_line:3\n>>>>>>> REPLACE", "line_marker_in_replace"),
        ("<<<<<<< SEARCH\na\n=======\nb", "unfinished_block"),
        ("no block at all", "no_block"),
        ("<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE ", "no_block"),
        (" <<<<<<< SEARCH\na\n =======\nb\n >>>>>>> REPLACE", "no_block"),
        (block("two", "two", line=2), "identical"),
        ("<<<<<<< SEARCH\n:start_line:1\n-------\n=======\nx\n>>>>>>> REPLACE", "empty_search"),
        (block("TWO", "x", line=2), "no_match"),
        ("<<<<<<< SEARCH\nx\n=======\nb\n>>>>>>> REPLACE" + "\n" + "=======", "stray_marker"),
    ],
)
def test_a_refused_diff_says_why(diff: str, fault: str) -> None:
    assert result(diff) is None
    assert reason(diff) == fault


def test_text_around_the_blocks_is_ignored() -> None:
    assert result(f"Here it is:\n```diff\n{block('two', '2', line=2)}\n```") == "one\n2\n    three\nfour\n"


def test_the_best_similarity_is_measured_on_demand() -> None:
    outcome = apply_diff(FILE, block("twa", "x", line=2), measure=True)
    assert outcome.failed[0].similarity == 66
    assert apply_diff(FILE, block("twa", "x", line=2)).failed[0].similarity is None


def test_a_lower_threshold_accepts_what_is_nearly_equal() -> None:
    assert result(block("twa", "x", line=2), threshold=0.6) == "one\nx\n    three\nfour\n"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("abc", "", 0),
        ("kitten", "sitting", 1 - 3 / 7),
        ("a" * 70, "b" * 70, 0),
        ("abc", "abc", 1),
        ("\U0001f389", "\U0001f38a", 0.5),
        ("\ud800x", "\ud801x", 0.5),
    ],
)
def test_similarity_is_one_minus_levenshteins_distance_in_utf16_units(one: str, other: str, expected: float) -> None:
    assert similarity(one, other) == pytest.approx(expected)
    assert similarity(other, one) == pytest.approx(expected)


@given(st.text("ab \U0001f389", max_size=12), st.text("ab \U0001f389", max_size=12), st.floats(0, 1))
def test_a_floor_changes_only_similarities_that_are_not_above_it(one: str, other: str, floor: float) -> None:
    exact, quick = similarity(one, other), similarity(one, other, floor)
    assert quick == exact if exact > floor else quick <= floor


def test_normal_form_has_single_blanks() -> None:
    assert normalised("  a\t\n b\u00a0 c — “d” ") == 'a b c - "d"'


def test_hostile_diffs_take_less_than_two_seconds() -> None:
    pieces = ("<<<<<<< SEARCH\n", "=======\n", "\n", "<<<<<<< SEARCH\n\n-------\n", block("a", "b") + "\n")
    assert takes_less_than(2, lambda: [apply_diff("a\n" * 50, piece * (20_000 // len(piece))) for piece in pieces])


def test_in_a_long_file_a_block_without_a_line_is_found_or_not() -> None:
    original = "\n".join(f"line {number}" for number in range(3000))
    plain = "<<<<<<< SEARCH\n{}\n=======\nnew\n>>>>>>> REPLACE"
    assert result(plain.format("line 2500"), original) == original.replace("line 2500", "new")
    assert apply_diff(original, plain.format("line 3500")).failed[0].fault == "no_match"
    both = plain.format("line 10") + "\n" + plain.format("line 2990")
    found = result(both, original)
    assert found is not None and found.count("new") == 2


def test_lines_break_at_a_carriage_return_only_before_a_line_feed() -> None:
    assert lines_of("a\r\nb\nc\rd") == ["a", "b", "c\rd"]
    assert lines_of("a\nb\n") == ["a", "b", ""]


@pytest.mark.parametrize(
    ("search", "replace", "counts"),
    [("1 | a\n2 | b", "1 | c", True), ("1 | a", " \n", True), ("1 | a", "c", False), ("a", "1 | c", False)],
)
def test_numbers_go_when_both_parts_have_them_or_the_replacement_is_blank(
    search: str, replace: str, counts: bool
) -> None:
    assert both_numbered(search, replace) == counts


def test_the_first_number_is_that_of_the_first_line() -> None:
    assert [first_number(text) for text in ("12 | a\n13 | b", " 7 |", "a 3 | b")] == [12, 7, 0]
    assert first_number("9007199254740993 | a") == 2**53
    assert first_number("1" * 400) == int(sys.float_info.max)


def test_huge_start_lines_are_doubles_so_neighbours_are_tried_as_they_are_written() -> None:
    failed = apply_diff(FILE, block("", "x", line=2**53 + 1) + "\n" + block("a", "b", line=2**53)).failed
    assert [one.fault for one in failed] == ["empty_search", "no_match"]


def test_numbers_are_stripped_and_bare_bars_only_where_that_is_asked_for() -> None:
    text = "1 | a\r\n|  b\r\nc\r\n"
    assert strip_numbers(text) == "a\r\n|  b\r\nc\r\n"
    assert strip_numbers(text, bare_bars=True) == "a\r\n b\r\nc\r\n"
    assert strip_numbers("1 | a\n2 ||\n") == "a\n2 ||\n"


@pytest.mark.parametrize(("marker", "line"), [("", 7), (":start_line:3\n", 3)])
def test_the_number_of_the_first_line_stands_for_a_start_line_that_is_not_there(marker: str, line: int) -> None:
    diff = f"<<<<<<< SEARCH\n{marker}-------\n7 | a\n=======\n7 | b\n>>>>>>> REPLACE"
    lines = (apply_diff("\n".join("a" * 9), diff).content or "").split("\n")
    assert [number for number, text in enumerate(lines, start=1) if text == "b"] == [line]
