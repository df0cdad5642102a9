"""What the client does with one answer: runs each call that fits its schema, in order."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping

from services.protocols.javascript import trim
from services.protocols.openai_tools.client.effects import DONE, Answered, take_effect
from services.protocols.openai_tools.comparison import plain_arguments
from services.protocols.openai_tools.judge import Checked, check_calls
from services.protocols.openai_tools.schemas import Schema, functions_of
from services.protocols.session.memory import call_key
from services.protocols.session.reasoning import answer_start
from services.protocols.turn import Answer, CallOutcome, ClientState, TurnOutcome


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
    outcomes = tuple(_outcome(state, checked, schemas) for checked in check_calls(answer, schemas))
    failed = [outcome.tool for outcome in outcomes if outcome.verdict == "failed"]
    return TurnOutcome(
        calls=outcomes,
        turn_failed=bool(failed),
        attempts=Counter(outcome.tool for outcome in outcomes),
        failures=Counter(failed),
    )


def _outcome(state: ClientState, checked: Checked, schemas: Mapping[str, Schema]) -> CallOutcome:
    call = checked.call
    if checked.finding:
        _, fault, sentence = checked.finding
        known = f" Functions: {', '.join(schemas)}." if call.name not in schemas else ""
        return _failed(state, checked, Answered(sentence + known, fault.value))
    if _is_repeated(state, call_key(call.name, dict(checked.arguments))):
        sentence = "The same call came too often in a row; try something else."
        return CallOutcome(call.name, "failed", ("repeated_call",), _error(sentence), call.call_id)
    if call.name in state.denied_tools:
        state.mistakes = 0
        reply = _error("The person refused this call.")
        return CallOutcome(call.name, "accepted", ("denied_by_user",), reply, call.call_id)
    effect = state.effects.get(call.name)
    answered = take_effect(effect, checked.arguments, state) if effect else _result(state, checked, schemas)
    if answered.code:
        return _failed(state, checked, answered)
    state.mistakes = 0
    return CallOutcome(call.name, "accepted", (), answered.text, call.call_id)


def _failed(state: ClientState, checked: Checked, answered: Answered) -> CallOutcome:
    state.mistakes += 1
    call = checked.call
    return CallOutcome(call.name, "failed", (answered.code,), _error(answered.text), call.call_id)


def _result(state: ClientState, checked: Checked, schemas: Mapping[str, Schema]) -> Answered:
    """Return what the case keeps for these arguments, as written or in their plain form, or else for the function."""
    name, arguments = checked.call.name, checked.arguments
    plain = plain_arguments(arguments, schemas[name])
    for key in (call_key(name, dict(arguments)), call_key(name, plain), name):
        if key in state.results:
            return Answered(state.results[key])
    return Answered(DONE)


def _is_repeated(state: ClientState, key: str) -> bool:
    state.identical_calls = state.identical_calls + 1 if key == state.last_call else 1
    state.last_call = key
    if not 0 < state.mistake_limit < state.identical_calls:
        return False
    state.last_call, state.identical_calls = "", 0
    return True


def _error(sentence: str) -> str:
    return json.dumps({"status": "error", "error": sentence}, ensure_ascii=False)
