"""What holds for every answer: the parser against a plain port of the client's automaton, and hostile input."""

import random
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.protocols.cases import Case, Expected
from services.protocols.roo.diff.apply import apply_diff
from services.protocols.roo.diff.blocks import check_markers
from services.protocols.roo_xml.judge import judge
from services.protocols.roo_xml.parse import AnswerTooLong, TextBlock, parse
from services.protocols.roo_xml.rules.style import style_problems
from services.protocols.roo_xml.turn import replies, take_turn
from services.protocols.turn import Answer, ClientState
from tests.bench.protocols.automaton import Automaton, parse_naively

TAGS = (
    *("<read_file>", "</read_file>", "<write_to_file>", "</write_to_file>", "<list_files>", "</list_files>"),
    *("<path>", "</path>", "<content>", "</content>", "<args>", "</args>", "<file>", "</file>", "<diff>", "</diff>"),
    *("<", ">", "</", "<pa", "th>", "\n", " ", "a", "\u00a0", "\U0001f389", "\ud800", "&lt;", "\r\n", "<b>", "</b>"),
    *("<update_todo_list>", "<todos>", "</todos>", "</update_todo_list>", "<switch_mode>", "<mode_slug>", "code"),
    *("<apply_diff>", "</apply_diff>", "<<<<<<< SEARCH\n", "=======\n", ">>>>>>> REPLACE", "x\n", "-------\n"),
    *("<execute_command>", "<command>", "<attempt_completion>", "<result>", "<think>", "</think>", "<use_mcp_tool>"),
)
SOUP = st.lists(st.sampled_from(TAGS), max_size=40).map("".join)
CASE = Case("c", "k", "list_files", "code", "t", Expected("list_files", {"path": "."}), "t", "r", {"a": "x\n"})


def blocks(answer: str) -> list[tuple[object, ...]]:
    return [
        ("text", block.text)
        if isinstance(block, TextBlock)
        else ("tool", block.name, dict(block.params), block.partial)
        for block in parse(answer)
    ]


@settings(max_examples=400, deadline=None)
@given(SOUP)
def test_the_parser_reads_what_the_clients_automaton_reads(answer: str) -> None:
    assert blocks(answer) == parse_naively(answer)


@settings(max_examples=100, deadline=None)
@given(SOUP, st.integers(1, 7))
def test_the_automaton_does_not_care_how_an_answer_is_cut_into_chunks(answer: str, size: int) -> None:
    automaton = Automaton()
    for start in range(0, len(answer), size):
        automaton.feed(answer[start : start + size])
    assert automaton.result() == blocks(answer)


@settings(max_examples=200, deadline=None)
@given(SOUP)
def test_spans_lie_in_the_answer_and_in_order(answer: str) -> None:
    position = 0
    for block in parse(answer):
        assert position <= block.span[0] < block.span[1] <= len(answer)
        position = block.span[1]


@settings(max_examples=300, deadline=None)
@given(st.one_of(SOUP, st.text(max_size=60)), st.booleans())
def test_no_answer_is_too_odd_for_client_and_judge(answer: str, cut: bool) -> None:
    judge(CASE, answer, "length" if cut else "stop")
    style_problems(answer)
    state = ClientState(files={"a": "x\n"})
    outcome = take_turn(state, Answer(answer))
    again = ClientState(files={"a": "x\n"})
    assert take_turn(again, Answer(answer)) == outcome
    assert again == state
    assert replies(state, outcome) == replies(again, outcome)


DIFF_PIECES = (
    *("<<<<<<< SEARCH\n", "=======\n", ">>>>>>> REPLACE\n", ">>>>>>> REPLACE", "-------\n", ":start_line:1\n"),
    *(":end_line:2\n", "one\n", "  two\n", "\n", "\\=======\n", "1 | one\n", " \u00a0\n", "\r\n", "“x”\n", "\ud800\n"),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(DIFF_PIECES), max_size=14).map("".join),
    st.lists(st.sampled_from(("one", "  two", "", "\ttwo", '"x"', "three\r")), max_size=8).map("\n".join),
    st.sampled_from((1.0, 0.8, 0.0)),
)
def test_every_diff_ends_in_new_text_or_a_reason(diff: str, original: str, threshold: float) -> None:
    outcome = apply_diff(original, diff, threshold=threshold)
    measured = apply_diff(original, diff, threshold=threshold, measure=True)
    assert (outcome.content is None) == (outcome.fault is not None)
    assert (measured.content, measured.fault) == (outcome.content, outcome.fault)
    assert check_markers(diff) is None or outcome.content is None


ADVERSARIES: dict[str, Callable[[int], str]] = {
    "openings": lambda n: "<" * n,
    "tool tags": lambda n: "<read_file>" * (n // 11),
    "parameter tags": lambda n: "<read_file>" + "<path>" * (n // 6),
    "closed values": lambda n: "<read_file>" + "<path></path>" * (n // 13),
    "closing content": lambda n: "<write_to_file>" + "</content>" * (n // 10),
    "reopened content": lambda n: "<write_to_file><content>" + "</content><content>" * (n // 19),
    "long values": lambda n: "<write_to_file>" + ("<content>" + "a" * 102_500) * (n // 102_509),
    "almost tags": lambda n: "<read_fil" * (n // 9),
    "whole calls": lambda n: "<list_files><path>a</path></list_files>" * (n // 39),
    "blanks": lambda n: " \n" * (n // 2),
    "beyond the first plane": lambda n: "\U0001f389" * (n // 4) + "<read_file>" + "\U0001f389" * (n // 4),
    "thoughts": lambda n: "<think>" * (n // 7),
}


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


@pytest.mark.parametrize("family", ADVERSARIES)
def test_reading_time_grows_with_the_length_and_not_with_its_square(family: str) -> None:
    make = ADVERSARIES[family]
    short, long = make(125_000), make(1_000_000)
    small = min(seconds(lambda: parse(short)) for _ in range(3))
    large = min(seconds(lambda: parse(long)) for _ in range(3))
    # Eight times the length; a square would make it 64.
    assert large < 32 * small + 0.1


@pytest.mark.parametrize("family", ADVERSARIES)
def test_a_megabyte_is_dealt_with_whole(family: str) -> None:
    answer = ADVERSARIES[family](1_000_000)
    spent = seconds(lambda: (judge(CASE, answer), take_turn(ClientState(), Answer(answer))))
    assert spent < 20


@pytest.mark.parametrize("char", ["a", "\U0001f389", "<"])
def test_a_hundred_megabytes_are_refused_at_once(char: str) -> None:
    answer = char * 100_000_000
    start = time.process_time()
    with pytest.raises(AnswerTooLong):
        parse(answer)
    assert judge(CASE, answer).accepted is False
    assert time.process_time() - start < 10


@pytest.mark.parametrize(
    "answer", ["", "\0", "\ud800", "<list_files><path>\0\ud800</path></list_files>", "\udfff<read_file>"]
)
def test_nul_and_half_characters_get_a_verdict(answer: str) -> None:
    assert judge(CASE, answer).conforming is False
    state = ClientState()
    replies(state, take_turn(state, Answer(answer)))


def test_random_tag_soup_of_some_length_is_read_alike() -> None:
    source = random.Random(7)
    for _ in range(30):
        answer = "".join(source.choice(TAGS) for _ in range(250))
        assert blocks(answer) == parse_naively(answer)
