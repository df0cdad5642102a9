"""`ask_followup_question`: a question to the user, with answers to choose from."""

from collections.abc import Mapping

from services.protocols.javascript import trim
from services.protocols.roo.modes import find_mode
from services.protocols.roo_native.tools.tool import (
    Argument,
    Arguments,
    Call,
    Problem,
    Result,
    Tool,
    failed,
    missing,
)
from services.protocols.turn import ClientState
from services.protocols.verdict import Fault

MIN_SUGGESTIONS = 2


def _ask(call: Call) -> Result:
    suggestions = call.arguments.get("follow_up")
    if not isinstance(suggestions, list):
        return missing(call, "follow_up", fails_turn=True)
    if None in suggestions:
        return failed("bad_value", f"follow_up of {call.tool} must be text.")
    first = suggestions[0].get("text") if suggestions and isinstance(suggestions[0], Mapping) else None
    answer = call.answer_of_case(first if isinstance(first, str) and first else "Do what you think best.")
    return Result("accepted", (), f"<user_message>\n{answer}\n</user_message>", "reset")


def _suggestions(value: object) -> object:
    entries = [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list | tuple) else []
    return sorted((trim(str(entry.get("text", ""))), str(entry.get("mode") or "")) for entry in entries)


def _problem(arguments: Arguments, state: ClientState) -> Problem | None:
    suggestions = arguments["follow_up"]
    assert isinstance(suggestions, list)
    if len(suggestions) < MIN_SUGGESTIONS:
        return Fault.BAD_VALUE, f"follow_up holds {len(suggestions)} answers, not 2 to 4."
    if not all(trim(entry["text"]) for entry in suggestions):
        return Fault.BAD_VALUE, "an answer in follow_up is blank."
    modes = [entry["mode"] for entry in suggestions if entry["mode"] is not None]
    unknown = [mode for mode in modes if find_mode(mode, state.custom_modes) is None]
    return (Fault.UNKNOWN_MODE, f"an answer in follow_up names the unknown mode {unknown[0]!r}.") if unknown else None


ASK_FOLLOWUP_QUESTION = Tool(
    name="ask_followup_question",
    run=_ask,
    arguments={"question": Argument("present"), "follow_up": Argument("present", normal=_suggestions)},
    is_drilled=True,
    filled=("question",),
    lack_fails_turn=True,
    problem=_problem,
)
