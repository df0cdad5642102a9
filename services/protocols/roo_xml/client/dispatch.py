"""What the client does with the calls of one answer, in order."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from services.protocols.roo.modes import Refusal, find_mode, refusal
from services.protocols.roo_xml.client import editing, outside, reading, steering
from services.protocols.roo_xml.client.call import Call, Result, failed
from services.protocols.roo_xml.client.reasoning import reasoning_end
from services.protocols.roo_xml.client.titles import title_of
from services.protocols.roo_xml.editions import REFERENCE, Edition
from services.protocols.roo_xml.parse import AnswerTooLong, ToolBlock, parse
from services.protocols.session.memory import is_repeated_too_often
from services.protocols.turn import Answer, CallOutcome, ClientState, TurnOutcome

_SCROLLING = frozenset(("scroll_down", "scroll_up"))


def take_turn(state: ClientState, answer: Answer, edition: Edition = REFERENCE) -> TurnOutcome:
    """Do what the client does with `answer`: change `state` in place and return what came of each call.

    A block of reasoning at the very start is split off first. An answer without a call costs a mistake from the second
    one in a row on, with the classic client from the first; one that is empty, or too long for the client, costs
    nothing.
    """
    start = reasoning_end(answer.text)
    if start == len(answer.text):
        return TurnOutcome(codes=("empty_answer",))
    try:
        blocks = parse(answer.text, edition, start=start)
    except AnswerTooLong:
        return TurnOutcome(codes=("answer_too_long",))
    return take_calls(state, (block for block in blocks if isinstance(block, ToolBlock)), edition)


def take_calls(state: ClientState, calls: Iterable[ToolBlock], edition: Edition = REFERENCE) -> TurnOutcome:
    """Do the same with the calls of an answer that has been read."""
    desk = _Desk(state, edition)
    outcomes = tuple(desk.deal(block) for block in calls)
    if not outcomes:
        state.turns_without_tool += 1
        state.mistakes += edition.is_classic or state.turns_without_tool > 1
        return TurnOutcome(codes=("no_tool",))
    state.turns_without_tool = 0
    return TurnOutcome(outcomes, desk.turn_failed, dict(desk.attempts), dict(desk.failures), completed=desk.completed)


def result_of(call: Call) -> Result:
    """Return what the client makes of a call that it looks at; the call's work is done in its state."""
    if refused := refusal_of(call):
        return _refused(call, refused)
    if call.state.mistake_limit and not scrolls(call) and is_repeated_too_often(call.state, canonical(call)):
        return failed("repeated_call", f"{call.tool} was called the same way too often; try another approach.")
    return _HANDLERS.get(call.tool, editing.opted_out)(call)


def refusal_of(call: Call) -> Refusal | None:
    """Return why the mode refuses a call, or None."""
    state = call.state
    mode = find_mode(state.mode, state.custom_modes)
    return refusal(call.tool, mode, call.params, requirements=state.requirements, rules=call.edition.mode_rules)


class _Desk:
    def __init__(self, state: ClientState, edition: Edition) -> None:
        self.state, self.edition = state, edition
        self.is_used = self.is_denied = self.turn_failed = False
        self.attempts, self.failures = Counter[str](), Counter[str]()
        self.completed: str | None = None

    def deal(self, block: ToolBlock) -> CallOutcome:
        call = Call(block.name, block.params, self.state, self.edition, self.turn_failed)
        if self.is_denied:
            reply = f"{title_of(call)} was not carried out, since the user did not allow an earlier call."
            return CallOutcome(call.tool, "skipped", ("after_denial",), reply)
        if self.is_used:
            reply = f"[{call.tool}] was not carried out: an answer may hold one call only. Look at its result first."
            return CallOutcome(call.tool, "skipped", ("second_tool",), reply)
        title = title_of(call)
        result = result_of(call)
        self._book(call, result)
        return CallOutcome(call.tool, result.verdict, result.codes, result.reply(), title=title)

    def _book(self, call: Call, result: Result) -> None:
        self.attempts[call.tool] += 1
        if result.records_failure:
            self.failures[call.tool] += 1
        if result.counter == "mistake":
            self.state.mistakes += 1
        elif result.counter == "reset":
            self.state.mistakes = 0
        self.turn_failed |= result.fails_turn and not self.edition.is_classic
        self.is_used |= not result.is_silent
        self.is_denied |= result.is_denied
        if result.completed is not None:
            self.completed = result.completed


def _refused(call: Call, reason: Refusal) -> Result:
    state = call.state
    mode = find_mode(state.mode, state.custom_modes)
    name = mode.name if mode else state.mode
    if reason == "file_pattern":
        pattern = mode.patterns.get("edit", "") if mode else ""
        paths = ", ".join(filter(None, call.edition.mode_rules.edited_paths(call.tool, call.params)))
        sentence = f"{call.tool}: the mode {name} edits only files that match {pattern!r}, not {paths}."
    else:
        sentence = f"The mode {name} does not offer {call.tool}. Use another tool, or ask for another mode."
    return failed(reason, sentence, "mistake")


def scrolls(call: Call) -> bool:
    """Return whether a call scrolls the browser, which may be repeated at will."""
    return call.tool == "browser_action" and call.params.get("action") in _SCROLLING


def canonical(call: Call) -> str:
    """Return the form in which calls are compared: name and parameters in a fixed order."""
    return json.dumps([call.tool, dict(call.params)], sort_keys=True)


_HANDLERS: Mapping[str, Callable[[Call], Result]] = MappingProxyType(
    {
        "read_file": reading.read_file,
        "search_files": reading.search_files,
        "list_files": reading.list_files,
        "list_code_definition_names": reading.list_code_definition_names,
        "codebase_search": reading.codebase_search,
        "fetch_instructions": reading.fetch_instructions,
        "write_to_file": editing.write_to_file,
        "insert_content": editing.insert_content,
        "apply_diff": editing.apply_diff_call,
        "ask_followup_question": steering.ask_followup_question,
        "attempt_completion": steering.attempt_completion,
        "switch_mode": steering.switch_mode,
        "new_task": steering.new_task,
        "update_todo_list": steering.update_todo_list,
        "execute_command": outside.execute_command,
        "use_mcp_tool": outside.use_mcp_tool,
        "access_mcp_resource": outside.access_mcp_resource,
        "browser_action": outside.browser_action,
    }
)
"""What each tool does; any other is an experiment that is switched off."""
