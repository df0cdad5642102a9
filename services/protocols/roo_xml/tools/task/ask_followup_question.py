"""`ask_followup_question`: a question to the user, with answers to choose from."""

from typing import cast

from services.protocols.javascript import trim
from services.protocols.roo.modes import find_mode
from services.protocols.roo_xml.nested.lenient_xml import Value
from services.protocols.roo_xml.nested.values import BadNestedValue, listed, read_nested
from services.protocols.roo_xml.tools.tool import (
    Argument,
    Arguments,
    Call,
    Params,
    Problem,
    Result,
    Tool,
    failed,
    missing,
)
from services.protocols.turn import ClientState
from services.protocols.verdict import Fault

MIN_SUGGESTIONS, MAX_SUGGESTIONS = 2, 4


def _read_arguments(params: Params) -> Arguments:
    text = params.get("follow_up", "")
    elements = listed(read_nested("follow_up", text, ("suggest",)).get("suggest", [])) if text else []
    return {"question": params.get("question", ""), "follow_up": [_suggestion(element) for element in elements]}


def _suggestion(element: Value) -> dict[str, str]:
    if not isinstance(element, dict):
        return {"text": str(element)}
    entries = (("text", element.get("#text")), ("mode", element.get("@_mode")))
    return {key: entry for key, entry in entries if isinstance(entry, str) and (entry or key == "text")}


def _suggestions_of(params: Params) -> list[dict[str, str]]:
    return cast(list[dict[str, str]], _read_arguments(params)["follow_up"])


def _ask(call: Call) -> Result:
    is_classic, lacking = call.edition.is_classic, call.lacks("question")
    if lacking and is_classic:
        return missing(call, lacking)
    try:
        suggestions = _suggestions_of(call.params)
    except BadNestedValue as bad:
        sentence = f"follow_up could not be read as XML: {bad}."
        return failed("follow_up_xml", sentence, "mistake" if is_classic else "keep", records_failure=is_classic)
    if lacking:
        return missing(call, lacking, fails_turn=True)
    first = next(iter(suggestions), {}).get("text") or "Do what you think best."
    return Result("accepted", (), lambda: f"<answer>\n{call.answer_of_case(first)}\n</answer>", "reset")


def _problem(params: Params, state: ClientState) -> Problem | None:
    try:
        suggestions = _suggestions_of(params)
    except BadNestedValue as bad:
        return Fault.FOLLOW_UP_XML, f"follow_up is not readable: {bad}."
    if not MIN_SUGGESTIONS <= len(suggestions) <= MAX_SUGGESTIONS:
        return Fault.BAD_VALUE, f"follow_up holds {len(suggestions)} suggestions, not 2 to 4."
    if not all(trim(suggestion.get("text", "")) for suggestion in suggestions):
        return Fault.BAD_VALUE, "a suggestion is empty."
    modes = (suggestion.get("mode") for suggestion in suggestions)
    unknown = next((mode for mode in modes if mode and not find_mode(mode, state.custom_modes)), None)
    return (Fault.UNKNOWN_MODE, f"a suggestion names the unknown mode {unknown!r}.") if unknown else None


def _normal_suggestions(value: object) -> object:
    entries = value if isinstance(value, list | tuple) else []
    return sorted((trim(entry.get("text", "")), entry.get("mode", "")) for entry in entries)


ASK_FOLLOWUP_QUESTION = Tool(
    name="ask_followup_question",
    run=_ask,
    required=("question",),
    demanded=("follow_up",),
    is_drilled=True,
    arguments={"follow_up": Argument(normal=_normal_suggestions)},
    read_arguments=_read_arguments,
    problem=_problem,
    title="question",
)
