"""One answer in the client's hands: what it does with the calls in order, what it counts, and what it says."""

from collections import Counter as Tally

from services.protocols.roo.modes import find_mode, refusal
from services.protocols.roo_native.parse.calls import CallError, McpCall, TypedCall, parse_call
from services.protocols.roo_native.prompt import environment
from services.protocols.roo_native.tools import DEFAULT_TOOLS, NATIVE_RULES, TOOLS, is_known
from services.protocols.roo_native.tools.mcp import USE_MCP_TOOL, server_of
from services.protocols.roo_native.tools.tool import (
    Arguments,
    Call,
    CallFailed,
    Result,
    Tool,
    error,
    failed,
    missing,
    mistake,
)
from services.protocols.session.memory import is_repeated_too_often
from services.protocols.turn import Answer, CallOutcome, ClientState, Message, ToolCall, TurnOutcome

_NO_TOOL = """\
Your answer called no function, so nothing happened. Every answer must make at least one call, through the calling \
mechanism of your provider; calls written as text, in XML tags or in a code fence, do not count.

What to do now:
- If the task is done, call attempt_completion.
- If you lack something that only the user knows, call ask_followup_question.
- Otherwise take the next step with the function that fits it.

(Nobody wrote this message by hand; do not answer it in words.)"""

_GUIDANCE = """\
Several of your answers in a row could not be used. The user says: go one small step at a time, check the arguments \
against the function's definition, and read the file again before you change it."""


def take_turn(state: ClientState, answer: Answer) -> TurnOutcome:
    """Do what the client does with `answer`: change `state` in place and return what came of each call.

    Text is only text: an answer without function calls uses no tool, whatever stands in it. The first such answer in a
    row is borne, each further one counts as a mistake; an answer with nothing in it at all changes nothing.
    """
    if not answer.calls and not answer.text:
        return TurnOutcome(codes=("empty_answer",))
    if not answer.calls:
        state.turns_without_tool += 1
        state.mistakes += state.turns_without_tool > 1
        return TurnOutcome(codes=("no_tool",))
    state.turns_without_tool = 0
    return _Turn(state).take(answer.calls)


def replies(state: ClientState, outcome: TurnOutcome) -> list[Message]:
    """Return the messages that follow an answer: one result per call, then the user's with the environment.

    Guidance comes along once the mistake limit is reached. There is nothing after an answer that was empty, which the
    client asks for once more.
    """
    if "empty_answer" in outcome.codes:
        return []
    messages: list[Message] = [
        {"role": "tool", "tool_call_id": call.call_id, "content": call.reply or "(The tool returned nothing.)"}
        for call in outcome.calls
    ]
    parts = [] if outcome.calls else [_NO_TOOL]
    if 0 < state.mistake_limit <= state.mistakes:
        parts.append(_GUIDANCE)
    parts.append(environment(state.mode, state.todos or ()))
    return [*messages, {"role": "user", "content": "\n\n".join(parts)}]


class _Turn:
    def __init__(self, state: ClientState) -> None:
        self._state = state
        self._attempts: Tally[str] = Tally()
        self._failures: Tally[str] = Tally()
        self._failed = self._denied = False
        self._completed: str | None = None

    def take(self, calls: tuple[ToolCall, ...]) -> TurnOutcome:
        last = next((place for place, call in enumerate(calls) if call.name == "new_task"), len(calls))
        outcomes = [self._outcome(call, self._take(call)) for call in calls[: last + 1]]
        dropped = Result("skipped", ("after_new_task",), error("new_task must be the last call; this one was dropped."))
        outcomes += [self._outcome(call, dropped) for call in calls[last + 1 :]]
        return TurnOutcome(tuple(outcomes), self._failed, dict(self._attempts), dict(self._failures), self._completed)

    @staticmethod
    def _outcome(call: ToolCall, result: Result) -> CallOutcome:
        outcome = (call.name, result.verdict, result.codes, result.reply, call.call_id)
        return CallOutcome(*outcome, is_partial=result.is_partial)

    def _take(self, call: ToolCall) -> Result:
        if self._denied:
            return Result("skipped", ("after_denial",), "This call was skipped: the user did not allow an earlier one.")
        try:
            typed = parse_call(call.name, call.arguments)
        except CallError as bad:
            return self._count(call.name, self._not_typed(call, bad))
        if isinstance(typed, McpCall):
            server = server_of(self._state, typed.server)
            arguments = {"server_name": server, "tool_name": typed.tool, "arguments": typed.arguments}
            self._attempts[USE_MCP_TOOL.name] += 1
            return self._run(call, USE_MCP_TOOL, arguments)
        self._attempts[typed.name] += 1
        refused = self._refused(typed)
        return self._count(typed.name, refused) if refused else self._run(call, TOOLS[typed.name], typed.arguments)

    def _not_typed(self, call: ToolCall, bad: CallError) -> Result:
        """Return the result of a call whose arguments cannot be used; the client looks at its name as written."""
        if is_known(call.name):
            sentence = f"The arguments of {call.name} could not be finalised ({bad}). Send them as one JSON object."
            return mistake("invalid_arguments", sentence)
        self._attempts[call.name] += 1
        sentence = f"There is no tool {call.name!r}. The tools are: {', '.join(DEFAULT_TOOLS)}."
        return failed("unknown_tool", sentence, "mistake")

    def _refused(self, typed: TypedCall) -> Result | None:
        state = self._state
        code = refusal(
            typed.name,
            find_mode(state.mode, state.custom_modes),
            typed.params,
            included_tools=state.included_tools,
            requirements=state.requirements,
            rules=NATIVE_RULES,
        )
        if code:
            return failed(code, f"{typed.name} is not allowed in the mode {state.mode} ({code}).", "mistake")
        if is_repeated_too_often(state, typed.canonical):
            return failed("repeated_call", f"The same call of {typed.name} came too often. Try another approach.")
        return None

    def _run(self, written: ToolCall, tool: Tool, arguments: Arguments) -> Result:
        call = Call(tool.name, written.name, arguments, self._state, self._failed)
        try:
            lacking = call.lacks(*tool.filled)
            how = {"fails_turn": tool.lack_fails_turn, "records_failure": tool.records_lack}
            result = missing(call, lacking, **how) if lacking else tool.run(call)
        except CallFailed as failure:
            result = failure.result
        return self._count(tool.name, result)

    def _count(self, tool: str, result: Result) -> Result:
        if result.counter == "mistake":
            self._state.mistakes += max(1, result.num_failures)
        elif result.counter == "reset":
            self._state.mistakes = 0
        if result.num_failures:
            self._failures[tool] += result.num_failures
        if result.counts_twice:
            self._attempts[tool] += 1
        self._failed = self._failed or result.fails_turn
        self._denied = result.is_denied
        if result.completed is not None:
            self._completed = result.completed
        return result
