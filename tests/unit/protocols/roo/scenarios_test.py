import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Literal

import pytest

from services.protocols.cases import Case, case_from_document, case_to_document
from services.protocols.roo.profile import CATALOGUE
from services.protocols.roo.workspace import numbered
from services.protocols.roo_native.profile import RooNative
from services.protocols.roo_xml.profile import RooXml
from services.protocols.roo_xml.scenario_case import case_of
from services.protocols.session import Session, judge_session, state_of
from services.protocols.turn import Answer
from services.protocols.verdict import Verdict

Roo = RooXml | RooNative
PROFILES: tuple[Roo, ...] = (RooXml(), RooNative())
STOCKS: tuple[Literal["suite", "pool"], ...] = ("suite", "pool")
PER_CATEGORY = 14

SHARED_CODES = (
    *("no_tool", "denied_by_user", "some_parts_failed", "missing_param", "not_allowed_in_mode", "file_pattern"),
    *("file_not_found", "is_directory", "bad_path_value", "ignored_file", "stray_marker", "marker_order"),
    *("line_marker_in_replace", "unfinished_block", "no_block", "no_match", "identical", "empty_search"),
    *("mcp_bad_json", "mcp_unknown_server", "mcp_unknown_tool", "unknown_mode", "same_mode", "unknown_instruction"),
    *("experiment_off", "repeated_call", "after_denial", "open_todos"),
)
CODES = {
    "roo_xml": {*SHARED_CODES, "args_xml", "follow_up_xml", "bad_range", "range_beyond_end", "second_tool"},
    "roo_native": {
        *SHARED_CODES,
        *("invalid_arguments", "unknown_tool", "bad_value", "bad_offset", "bad_artifact_id"),
        *("tool_failed_before_completion", "after_new_task"),
        *("several_matches", "count_mismatch", "file_exists", "bad_patch"),
    },
}
"""The codes with which each client answers a turn."""


@cache
def drawn(profile: Roo, stock: Literal["suite", "pool"]) -> tuple[Case, ...]:
    found = list(profile.draw(11, PER_CATEGORY * len(CATALOGUE.categories), stock=stock))
    return (*found, *profile.draw(12, 90, categories=("recovery",), stock=stock))


def of_category(profile: Roo, *names: str) -> Iterator[Case]:
    return (case for case in drawn(profile, "pool") if case.category.partition(".")[0] in names)


def answers(profile: Roo, case: Case) -> tuple[Answer, ...]:
    return case.solution or (profile.read_answer(case.reference),)


def judged(profile: Roo, case: Case, given: Sequence[Answer]) -> Verdict:
    session = Session(profile, case, "compact")
    for answer in given:
        if session.stop is None:
            session.answer(answer)
    return judge_session(profile, case, session.transcript())


def broken(answer: Answer) -> Answer:
    """The same, cut off before its end."""
    if not answer.calls:
        return replace(answer, text=answer.text.rpartition("\n")[0])
    *others, last = answer.calls
    return replace(answer, calls=(*others, replace(last, arguments=last.arguments[:-1], span=None)))


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.id)
@pytest.mark.parametrize("stock", STOCKS)
def test_every_solution_conforms(profile: Roo, stock: Literal["suite", "pool"]) -> None:
    cases = drawn(profile, stock)
    verdicts = {case.case_id: judged(profile, case, answers(profile, case)) for case in cases}
    assert {name: one.sentence for name, one in verdicts.items() if not (one.conforming and one.accepted)} == {}
    counts = Counter(case.category.partition(".")[0] for case in cases)
    assert min(counts.values()) >= PER_CATEGORY
    assert tuple(counts) == profile.categories


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.id)
def test_a_solution_with_a_broken_answer_does_not_conform(profile: Roo) -> None:
    for case in drawn(profile, "pool"):
        right = answers(profile, case)
        for place in {0, len(right) - 1}:
            wrong = (*right[:place], broken(right[place]), *right[place + 1 :])
            assert not judged(profile, case, wrong).conforming, (case.case_id, place)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.id)
def test_a_solution_that_leaves_out_the_work_does_not_conform(profile: Roo) -> None:
    longer = [case for case in drawn(profile, "pool") if case.max_turns > 1]
    assert {case.category.partition(".")[0] for case in longer} == {
        *("search_read_edit", "ask_when_unclear", "todo_turns", "mcp")
    }
    for case in longer:
        is_done = case.category == "todo_turns.tick_resumed"
        work = 0 if is_done else next(place for place, answer in enumerate(case.solution) if edits_file(answer))
        assert not judged(profile, case, case.solution[:-1]).conforming
        assert not judged(profile, case, case.solution[:work] + case.solution[work + 1 :]).conforming, case.case_id


def edits_file(answer: Answer) -> bool:
    said = answer.text + "".join(call.name for call in answer.calls)
    return "write_to_file" in said or "apply_diff" in said


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.id)
def test_a_search_for_whole_words_is_as_right(profile: Roo) -> None:
    for case in of_category(profile, "tool_choice", "repetition"):
        if case.tool == "search_files":
            regex = str(case.expected.arguments["regex"])
            written = case.reference.replace(f">{regex}<", rf">\b{regex}\b<").replace(f'"{regex}"', rf'"\\b{regex}\\b"')
            assert written != case.reference
            assert profile.judge(case, profile.read_answer(written)).conforming


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.id)
def test_an_answer_to_another_case_of_the_kind_does_not_conform(profile: Roo) -> None:
    by_kind: dict[str, Case] = {}
    for case in drawn(profile, "pool"):
        other = by_kind.setdefault(case.category, case)
        is_closed = case.tool in (*profile.closed_tools, "switch_mode")
        if other is not case and not is_closed:
            assert not judged(profile, case, answers(profile, other)).conforming, (case.case_id, other.case_id)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.id)
@pytest.mark.parametrize("stock", STOCKS)
def test_every_case_survives_its_document_and_is_one_of_the_protocol(
    profile: Roo, stock: Literal["suite", "pool"]
) -> None:
    for case in drawn(profile, stock):
        profile.check_case(case)
        assert case_from_document(json.loads(json.dumps(case_to_document(case)))) == case


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.id)
def test_there_is_a_recovery_after_each_code_of_the_client(profile: Roo) -> None:
    found = set()
    for case in of_category(profile, "recovery"):
        state, codes = state_of(case), set[str]()
        for answer in case.history:
            outcome = profile.take_turn(state, answer)
            codes = {code.partition(":")[0] for call in outcome.calls for code in call.codes} | set(outcome.codes)
        named = case.category.split(".")[1]
        assert named in codes, (case.category, codes)
        found.add(named)
    assert found == CODES[profile.id]


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.id)
def test_the_answer_of_the_history_does_not_conform(profile: Roo) -> None:
    for case in of_category(profile, "recovery", "repetition"):
        assert not profile.judge(case, case.history[-1]).conforming, case.category


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.id)
def test_checklists_of_several_turns_are_truthful(profile: Roo) -> None:
    for case in of_category(profile, "todo_turns"):
        state = state_of(case)
        for answer in (*case.history, *case.solution):
            profile.take_turn(state, answer)
            for status, job in state.todos or ():
                written = [path for path in (case.goal.files if case.goal else ()) if f"`{path}`" in job]
                if written and not case.todos:
                    assert (status == "completed") <= (written[0] in state.files)
        assert state.todos
        assert {status for status, _ in state.todos} == {"completed"}


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.id)
def test_files_stand_in_the_prompt_where_one_answer_is_asked_for(profile: Roo) -> None:
    for case in of_category(profile, "search_read_edit", "edit_by_diff"):
        prompt = profile.messages(case, "compact")[-1]["content"]
        for text in case.files.values():
            assert (numbered(text) in prompt) == (case.max_turns == 1)


@pytest.mark.parametrize("stock", STOCKS)
def test_long_contexts_reach_but_do_not_pass_their_bound(stock: Literal["suite", "pool"]) -> None:
    cases = PROFILES[0].draw(0, 60, categories=("long_context",), stock=stock)
    lengths = [sum(len(numbered(text)) for text in case.files.values()) for case in cases]
    assert min(lengths) < 3_000
    assert 14_000 < max(lengths) < 18_000


def test_odd_text_holds_what_it_says() -> None:
    cases = {case.category.partition(".")[2]: case for case in of_category(PROFILES[0], "odd_text")}
    assert "\r\n" in next(iter(cases["crlf"].expected.files.values()))
    assert not cases["unicode_file"].reference.isascii()
    assert "\n\\=======\n" in cases["conflict"].reference
    assert "\n\\=======\n" in cases["underline"].reference
    assert "&amp;amp;" in cases["entities"].reference
    assert "</content>" in next(iter(cases["tags"].expected.files.values()))
    assert "“" in cases["typography"].reference


def test_both_protocols_put_the_same_tasks() -> None:
    both = [[case.task for case in profile.draw(4, 60, categories=("mcp", "odd_text"))] for profile in PROFILES]
    assert both[0] == both[1]


def test_a_scenario_of_one_answer_leaves_one_turn() -> None:
    for scenario in CATALOGUE.for_protocol("roo_xml").draw(0, 150):
        case, steps = case_of(scenario), len(scenario.draft.turns)
        assert case.max_turns == (1 if steps == 1 else steps + 3)
        assert len(case.solution) == (0 if steps == 1 else steps)
        assert (case.goal is None) == (steps == 1)
