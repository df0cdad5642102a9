"""One answer in the client's hands: what it does with the calls in order, what it counts, and what it says."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence

from services.protocols.roo.modes import Refusal, find_mode
from services.protocols.roo.prompt_text import environment_block, todo_table
from services.protocols.roo_xml.editions import REFERENCE
from services.protocols.roo_xml.parse import AnswerTooLong, ToolBlock, parse, reasoning_end
from services.protocols.roo_xml.tools.command import scrolls
from services.protocols.roo_xml.tools.tool import Call, Edition, Result, failed, missing
from services.protocols.session.memory import is_repeated_too_often
from services.protocols.turn import Answer, CallOutcome, ClientState, Message, TurnOutcome

_NO_TOOL = """\
Your answer called no tool, so nothing happened. Every answer must end with one call.

A call is written in tags, the tool's name around one element per parameter:

<tool_name>
<parameter_name>value</parameter_name>
</tool_name>

What to do now:
- If the task is done, call attempt_completion.
- If you lack something that only the user knows, call ask_followup_question.
- Otherwise take the next step with the tool that fits it.

(Nobody wrote this message by hand; do not answer it in words.)"""

_GUIDANCE = """\
Several of your answers in a row could not be used. The user says: go one small step at a time, check the tool's \
parameters against its description, and read the file again before you change it."""


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
    turn = _Turn(state, edition)
    outcomes = tuple(turn.take(block) for block in calls)
    if not outcomes:
        state.turns_without_tool += 1
        state.mistakes += edition.is_classic or state.turns_without_tool > 1
        return TurnOutcome(codes=("no_tool",))
    state.turns_without_tool = 0
    return TurnOutcome(outcomes, turn.turn_failed, dict(turn.attempts), dict(turn.failures), completed=turn.completed)


def replies(state: ClientState, outcome: TurnOutcome) -> list[Message]:
    """Return the message that follows an answer: results, guidance once the mistake limit is reached, environment.

    There is none after a completion to which nothing is said, nor after an answer that was empty or too long, which the
    client asks for once more.
    """
    parts = [_NO_TOOL] if "no_tool" in outcome.codes else []
    for call in outcome.calls:
        if call.reply:
            parts.append(f"{call.title} Result:\n\n{call.reply}" if call.title else call.reply)
    if not parts:
        return []
    if 0 < state.mistake_limit <= state.mistakes:
        parts.append(_GUIDANCE)
    parts.append(environment(state))
    return [{"role": "user", "content": "\n\n".join(parts)}]


def environment(state: ClientState, open_tabs: Sequence[str] = (), workspace: Sequence[str] = ()) -> str:
    """Return the block that closes every message; a section without content is left out."""
    return environment_block(
        ("# VSCode Open Tabs", open_tabs),
        ("# Current Mode", (f"<slug>{state.mode}</slug>",)),
        ("# MCP Servers", [f"{server.name}: {', '.join(server.tools)}" for server in state.mcp]),
        ("# Workspace Files", workspace),
        ("# Todo List", todo_table(state.todos or (), is_ruled=False)),
    )


def result_of(call: Call) -> Result:
    """Return what the client makes of a call that it looks at; the call's work is done in its state."""
    if call.refusal:
        return _refused(call, call.refusal)
    if call.state.mistake_limit and not scrolls(call) and is_repeated_too_often(call.state, canonical(call)):
        return failed("repeated_call", f"{call.tool} was called the same way too often; try another approach.")
    tool = call.edition.tools[call.tool]
    if lacking := call.lacks(*tool.filled):
        return missing(call, lacking, fails_turn=tool.lack_fails_turn, records_failure=tool.records_lack)
    return tool.run(call)


def canonical(call: Call) -> str:
    """Return the form in which calls are compared: name and parameters in a fixed order."""
    return json.dumps([call.tool, dict(call.params)], sort_keys=True)


def _refused(call: Call, reason: Refusal) -> Result:
    state = call.state
    mode = find_mode(state.mode, state.custom_modes)
    name = mode.name if mode else state.mode
    sentence = f"The mode {name} does not offer {call.tool}. Use another tool, or ask for another mode."
    if reason == "file_pattern":
        pattern = mode.patterns.get("edit", "") if mode else ""
        sentence = f"{call.tool}: the mode {name} edits only files that match {pattern!r}, not {call.edited_paths}."
    return failed(reason, sentence, "mistake")


def _title(call: Call) -> str:
    """Return the bracket that heads a result, such as `[write_to_file for 'a.py']`."""
    title = call.edition.tools[call.tool].title
    if isinstance(title, str):
        return f"[{call.tool} for '{call.params.get(title, '')}']" if title else f"[{call.tool}]"
    return f"[{call.tool}{title(call)}]"


class _Turn:
    def __init__(self, state: ClientState, edition: Edition) -> None:
        self.state, self.edition = state, edition
        self.is_used = self.is_denied = self.turn_failed = False
        self.attempts, self.failures = Counter[str](), Counter[str]()
        self.completed: str | None = None

    def take(self, block: ToolBlock) -> CallOutcome:
        call = Call(block.name, block.params, self.state, self.edition, self.turn_failed)
        if self.is_denied:
            reply = f"{_title(call)} was not carried out, since the user did not allow an earlier call."
            return CallOutcome(call.tool, "skipped", ("after_denial",), reply)
        if self.is_used:
            reply = f"[{call.tool}] was not carried out: an answer may hold one call only. Look at its result first."
            return CallOutcome(call.tool, "skipped", ("second_tool",), reply)
        title = _title(call)
        result = result_of(call)
        self._count(call, result)
        return CallOutcome(call.tool, result.verdict, result.codes, result.reply(), title=title)

    def _count(self, call: Call, result: Result) -> None:
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
