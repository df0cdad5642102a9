"""What the client does with a whole answer: order of calls, counters, records."""

import pytest

from services.protocols.roo_xml.turn import take_turn
from services.protocols.turn import Answer, ClientState, TurnOutcome

LIST = "<list_files><path>src</path></list_files>"
RUN = "<execute_command><command>make</command></execute_command>"
DONE = "<attempt_completion><result>All is done.</result></attempt_completion>"
DENYING = frozenset(("execute_command",))


def turn(text: str, state: ClientState | None = None) -> TurnOutcome:
    return take_turn(state if state is not None else ClientState(), Answer(text))


def verdicts(outcome: TurnOutcome) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(call.tool, call.verdict, call.codes) for call in outcome.calls]


def test_a_second_call_is_not_looked_at() -> None:
    state = ClientState()
    outcome = turn(LIST + "<update_todo_list><todos>[ ] a</todos></update_todo_list>", state)
    assert verdicts(outcome) == [("list_files", "accepted", ()), ("update_todo_list", "skipped", ("second_tool",))]
    assert (dict(outcome.attempts), state.todos) == ({"list_files": 1}, None)


def test_a_call_after_one_that_the_mode_refuses_is_not_looked_at_either() -> None:
    outcome = turn(RUN + LIST, ClientState(mode="ask"))
    assert verdicts(outcome) == [
        ("execute_command", "failed", ("not_allowed_in_mode",)),
        ("list_files", "skipped", ("second_tool",)),
    ]


def test_after_a_denial_every_further_call_is_skipped_for_that_reason() -> None:
    outcome = turn(RUN + LIST + RUN, ClientState(denied_tools=DENYING))
    assert [call.codes for call in outcome.calls] == [("denied_by_user",), ("after_denial",), ("after_denial",)]
    assert dict(outcome.attempts) == {"execute_command": 1}


def test_an_accepted_completion_lets_a_further_call_run() -> None:
    outcome = turn(DONE + LIST + DONE)
    assert [call.verdict for call in outcome.calls] == ["accepted", "accepted", "skipped"]
    assert outcome.completed == "All is done."


def test_a_failed_completion_is_a_result_like_any_other() -> None:
    outcome = turn("<attempt_completion></attempt_completion>" + LIST)
    assert [call.codes for call in outcome.calls] == [("missing_param:result",), ("second_tool",)]
    assert outcome.completed is None


def test_the_first_answer_without_a_call_is_forgiven_and_each_further_one_in_a_row_counts() -> None:
    state = ClientState()
    outcomes = [turn("I think about it.", state) for _ in range(3)]
    assert {outcome.codes for outcome in outcomes} == {("no_tool",)}
    assert (state.mistakes, state.turns_without_tool) == (2, 3)
    turn(LIST, state)
    assert (state.mistakes, state.turns_without_tool) == (0, 0)
    turn("And again.", state)
    assert state.mistakes == 0


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty_answer"),
        ("<think>only thoughts</think>", "empty_answer"),
        ("<think>" + LIST, "empty_answer"),
        ("a" * 1_048_577, "answer_too_long"),
    ],
)
def test_an_answer_that_the_client_never_reads_costs_nothing(text: str, code: str) -> None:
    state = ClientState(turns_without_tool=1, mistakes=1)
    outcome = turn(text, state)
    assert (outcome.codes, outcome.used_tool) == ((code,), False)
    assert (state.turns_without_tool, state.mistakes) == (1, 1)


def test_blanks_alone_are_an_answer_without_a_call() -> None:
    assert turn(" \n ").codes == ("no_tool",)


def test_reasoning_at_the_start_holds_no_call_and_elsewhere_it_does() -> None:
    assert verdicts(turn(f"<think>{RUN}</think>{LIST}")) == [("list_files", "accepted", ())]
    assert [call.tool for call in turn(f" <think>{LIST}</think>").calls] == ["list_files"]


def test_the_fourth_identical_call_in_a_row_is_refused_and_counting_starts_anew() -> None:
    state = ClientState(mistakes=1)
    codes = [turn("<list_files><path>x</path></list_files>", state).calls[0].codes for _ in range(8)]
    assert [number for number, code in enumerate(codes) if code] == [3, 7]
    assert codes[3] == ("repeated_call",)
    assert state.mistakes == 0


def test_a_repeated_call_is_attempted_but_neither_a_mistake_nor_a_failure() -> None:
    state = ClientState()
    for _ in range(3):
        turn(RUN, state)
    state.mistakes = 2
    outcome = turn(RUN, state)
    assert (state.mistakes, dict(outcome.attempts), dict(outcome.failures)) == (2, {"execute_command": 1}, {})


def test_a_call_that_the_mode_refuses_is_not_counted_as_a_repetition() -> None:
    state = ClientState(mode="ask", mistake_limit=3)
    assert [turn(RUN, state).calls[0].codes for _ in range(5)] == [("not_allowed_in_mode",)] * 5


def test_the_repetition_limit_is_the_mistake_limit_and_zero_is_none() -> None:
    once, never = ClientState(mistake_limit=1), ClientState(mistake_limit=0)
    assert [turn(LIST, once).calls[0].verdict for _ in range(3)] == ["accepted", "failed", "accepted"]
    assert {turn(LIST, never).calls[0].verdict for _ in range(9)} == {"accepted"}


def test_scrolling_is_no_repetition_and_does_not_interrupt_one() -> None:
    state = ClientState()
    scroll = "<browser_action><action>scroll_down</action></browser_action>"
    found = [turn(text, state).calls[0].verdict for text in (LIST, scroll, LIST, scroll, LIST, scroll, LIST, scroll)]
    assert found == ["accepted"] * 6 + ["failed", "accepted"]


def test_a_switched_off_tool_is_refused() -> None:
    state = ClientState(requirements={"list_files": False})
    assert turn(LIST, state).calls[0].codes == ("not_allowed_in_mode",)
    assert state.mistakes == 1


def test_the_mode_of_a_switch_holds_for_the_next_answer() -> None:
    state = ClientState()
    turn("<switch_mode><mode_slug>ask</mode_slug></switch_mode>", state)
    assert (state.mode, turn(RUN, state).calls[0].codes) == ("ask", ("not_allowed_in_mode",))


def test_a_violated_file_pattern_names_tool_mode_pattern_and_path() -> None:
    state = ClientState(mode="architect")
    call = turn("<write_to_file><path>a.py</path><content>x</content></write_to_file>", state).calls[0]
    assert call.codes == ("file_pattern",)
    assert all(part in call.reply for part in ("write_to_file", "Architect", r"\\.md$", "a.py"))


def test_an_unknown_mode_offers_only_what_is_always_there() -> None:
    state = ClientState(mode="nowhere")
    assert turn(LIST, state).calls[0].codes == ("not_allowed_in_mode",)
    assert turn(DONE, state).completed == "All is done."


@pytest.mark.parametrize("tool", ["apply_patch", "search_replace", "edit_file", "search_and_replace"])
def test_opt_in_tools_are_read_and_refused(tool: str) -> None:
    assert verdicts(turn(f"<{tool}><path>a</path></{tool}>")) == [(tool, "failed", ("not_allowed_in_mode",))]
