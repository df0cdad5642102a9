"""One whole answer in the client's hands: its calls in order, and what the client counts."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Mapping
from types import MappingProxyType

from services.protocols.roo.modes import find_mode, refusal
from services.protocols.roo_native.client import editing, outside, patching, reading, steering
from services.protocols.roo_native.client.call import Call, Result, error, failed
from services.protocols.roo_native.parse import CallError, McpCall, TypedCall, parse_call
from services.protocols.roo_native.tools import DEFAULT_TOOLS, NATIVE_RULES, is_known
from services.protocols.session.memory import is_repeated_too_often
from services.protocols.turn import Answer, CallOutcome, ClientState, ToolCall, TurnOutcome

MCP_TOOL = "use_mcp_tool"

_TOOLS: Mapping[str, Callable[[Call], Result]] = MappingProxyType(
    {
        "read_file": reading.read_file,
        "search_files": reading.search_files,
        "list_files": reading.list_files,
        "codebase_search": reading.codebase_search,
        "read_command_output": reading.read_command_output,
        "skill": reading.skill,
        "write_to_file": editing.write_to_file,
        "apply_diff": editing.apply_diff_call,
        "edit": editing.edit,
        "search_replace": editing.search_replace,
        "edit_file": editing.edit_file,
        "apply_patch": patching.apply_patch,
        "execute_command": outside.execute_command,
        MCP_TOOL: outside.use_mcp_tool,
        "access_mcp_resource": outside.access_mcp_resource,
        "generate_image": outside.switched_off,
        "run_slash_command": outside.switched_off,
        "ask_followup_question": steering.ask_followup_question,
        "attempt_completion": steering.attempt_completion,
        "switch_mode": steering.switch_mode,
        "new_task": steering.new_task,
        "update_todo_list": steering.update_todo_list,
    }
)


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
            self._attempts[MCP_TOOL] += 1
            return self._run(call, MCP_TOOL, _mcp_arguments(self._state, typed))
        self._attempts[typed.name] += 1
        refused = self._refused(typed)
        return self._count(typed.name, refused) if refused else self._run(call, typed.name, typed.arguments)

    def _not_typed(self, call: ToolCall, bad: CallError) -> Result:
        """Return the result of a call whose arguments cannot be used; the client looks at its name as written."""
        if is_known(call.name):
            sentence = f"The arguments of {call.name} could not be finalised ({bad}). Send them as one JSON object."
            return failed("invalid_arguments", sentence, "mistake", records_failure=True)
        self._attempts[call.name] += 1
        return _unknown(call.name)

    def _refused(self, typed: TypedCall) -> Result | None:
        state = self._state
        mode = find_mode(state.mode, state.custom_modes)
        code = refusal(
            typed.name,
            mode,
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

    def _run(self, call: ToolCall, tool: str, arguments: Mapping[str, object]) -> Result:
        return self._count(tool, _TOOLS[tool](Call(tool, call.name, arguments, self._state, self._failed)))

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


def _mcp_arguments(state: ClientState, call: McpCall) -> Mapping[str, object]:
    return {"server_name": server_name(state, call), "tool_name": call.tool, "arguments": call.arguments}


def server_name(state: ClientState, call: McpCall) -> str:
    """Return the name of the server that a function's name means."""
    return outside.server_of(state, call.server)


def _unknown(name: str) -> Result:
    sentence = f"There is no tool {name!r}. The tools are: {', '.join(DEFAULT_TOOLS)}."
    return failed("unknown_tool", sentence, "mistake")
