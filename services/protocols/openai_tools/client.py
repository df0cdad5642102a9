"""What the client does with one answer, and what it says to it: it runs each call that fits its schema, in order."""

import json
from collections import Counter
from collections.abc import Mapping

from services.protocols.javascript.text import trim
from services.protocols.judging.call_checks import CheckedCall
from services.protocols.openai_tools.comparison import plain_arguments
from services.protocols.openai_tools.effects import DONE, Answered, take_effect
from services.protocols.openai_tools.form import check_calls
from services.protocols.openai_tools.schemas import Schema, functions_of
from services.protocols.session.memory import call_key, is_repeated_too_often
from services.protocols.session.reasoning import answer_start
from services.protocols.turn import Answer, CallOutcome, ClientState, Message, TurnOutcome

_EMPTY = "Your answer was empty. Call a function, or answer in plain text."


def take_turn(state: ClientState, answer: Answer) -> TurnOutcome:
    """Run the calls of `answer`; an answer without a call, if it says anything, completes the task.

    A call that cannot be run counts as a mistake and one that is run resets the counter; the same call more often
    than the limit in a row is refused.
    """
    if not answer.calls:
        state.last_call, state.identical_calls = "", 0
        if trim(answer.text[answer_start(answer.text) :]):
            return TurnOutcome(completed=answer.text)
        state.turns_without_tool += 1
        state.mistakes += 1
        return TurnOutcome()
    state.turns_without_tool = 0
    schemas = functions_of(tuple(state.tools))
    outcomes = tuple(
        _outcome(state, checked, call.call_id, schemas)
        for call, checked in zip(answer.calls, check_calls(answer, schemas), strict=True)
    )
    failures = Counter(outcome.tool for outcome in outcomes if outcome.verdict == "failed")
    return TurnOutcome(
        calls=outcomes,
        turn_failed=bool(failures),
        attempts=Counter(outcome.tool for outcome in outcomes),
        failures=failures,
    )


def replies(outcome: TurnOutcome) -> list[Message]:
    """Return one message of the role `tool` per call, in order; a reminder when the answer was empty."""
    if not outcome.used_tool:
        return [] if outcome.completed is not None else [{"role": "user", "content": _EMPTY}]
    return [{"role": "tool", "tool_call_id": call.call_id, "content": call.reply} for call in outcome.calls]


def _outcome(state: ClientState, call: CheckedCall, call_id: str, schemas: Mapping[str, Schema]) -> CallOutcome:
    name, arguments = call.tool, dict(call.arguments)
    if call.flaw:
        functions = f" Functions: {', '.join(schemas)}." if name not in schemas else ""
        answered = Answered(call.flaw.sentence + functions, call.flaw.fault.value)
    elif is_repeated_too_often(state, call_key(name, arguments)):
        sentence = "The same call came too often in a row; try something else."
        return CallOutcome(name, "failed", ("repeated_call",), _error(sentence), call_id)
    elif name in state.denied_tools:
        state.mistakes = 0
        return CallOutcome(name, "accepted", ("denied_by_user",), _error("The person refused this call."), call_id)
    elif effect := state.effects.get(name):
        answered = take_effect(effect, arguments, state)
    else:
        # What the case keeps for these arguments, as written or in their plain form, or else for the function.
        keys = (call_key(name, arguments), call_key(name, plain_arguments(arguments, schemas[name])), name)
        answered = Answered(next((state.results[key] for key in keys if key in state.results), DONE))
    if answered.code:
        state.mistakes += 1
        return CallOutcome(name, "failed", (answered.code,), _error(answered.text), call_id)
    state.mistakes = 0
    return CallOutcome(name, "accepted", (), answered.text, call_id)


def _error(sentence: str) -> str:
    return json.dumps({"status": "error", "error": sentence}, ensure_ascii=False)
