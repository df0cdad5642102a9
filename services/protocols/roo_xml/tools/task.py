"""Tools that steer the task: questions, completion, modes, subtasks and the checklist."""

from typing import cast

from services.protocols.javascript.text import trim
from services.protocols.roo.checklist import checklist_items, read_checklist
from services.protocols.roo.modes import find_mode
from services.protocols.roo.task_calls import completion_refusal, mode_problem, subtask_problem, todos_problem
from services.protocols.roo_xml.nested.lenient_xml import Value
from services.protocols.roo_xml.nested.values import BadNestedValue, listed, read_nested
from services.protocols.roo_xml.tools.tool import (
    Argument,
    Arguments,
    Call,
    Params,
    Problem,
    Reply,
    Result,
    Tool,
    failed,
    missing,
    mistake,
)
from services.protocols.turn import ClientState
from services.protocols.verdict import Fault

MIN_SUGGESTIONS, MAX_SUGGESTIONS = 2, 4


def _read_question(params: Params) -> Arguments:
    text = params.get("follow_up", "")
    elements = listed(read_nested("follow_up", text, ("suggest",)).get("suggest", [])) if text else []
    return {"question": params.get("question", ""), "follow_up": [_suggestion(element) for element in elements]}


def _suggestion(element: Value) -> dict[str, str]:
    if not isinstance(element, dict):
        return {"text": str(element)}
    entries = (("text", element.get("#text")), ("mode", element.get("@_mode")))
    return {key: entry for key, entry in entries if isinstance(entry, str) and (entry or key == "text")}


def _suggestions_of(params: Params) -> list[dict[str, str]]:
    return cast(list[dict[str, str]], _read_question(params)["follow_up"])


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


def _suggestions_problem(params: Params, state: ClientState) -> Problem | None:
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
    read_arguments=_read_question,
    problem=_suggestions_problem,
    title="question",
)


def _complete(call: Call) -> Result:
    if refusal := completion_refusal(call.state, turn_failed=call.turn_failed):
        return failed(*refusal) if call.turn_failed else mistake(*refusal, fails_turn=True)
    if lacking := call.lacks("result"):
        return missing(call, lacking)
    is_silent = not call.edition.is_classic
    return Result("accepted", (), str, "reset", is_silent=is_silent, completed=call.params["result"])


ATTEMPT_COMPLETION = Tool(
    name="attempt_completion", run=_complete, required=("result",), ignored=("command",), is_drilled=True
)


def _open(call: Call) -> Result:
    mode = find_mode(call.params["mode"], call.state.custom_modes)
    if mode is None:
        return failed("unknown_mode", f"There is no mode {call.params['mode']!r}.", "reset")
    return call.answered(f"A subtask was opened in the mode {mode.name}.")


def _subtask_title(call: Call) -> str:
    slug = call.params.get("mode", "")
    mode = find_mode(slug, call.state.custom_modes)
    return f" in {mode.name if mode else slug} mode: '{call.params.get('message', '')}'"


NEW_TASK = Tool(
    name="new_task",
    run=_open,
    required=("mode", "message"),
    optional=("todos",),
    is_drilled=True,
    filled=("mode", "message"),
    lack_fails_turn=True,
    arguments={"todos": Argument(normal=checklist_items)},
    problem=lambda params, state: subtask_problem(params["mode"], params.get("todos"), state),
    title=_subtask_title,
)


def _switch(call: Call) -> Result:
    state, slug = call.state, call.params["mode_slug"]
    mode = find_mode(slug, state.custom_modes)
    if mode is None:
        return mistake("unknown_mode", f"There is no mode {slug!r}.", "reset", fails_turn=True)
    if slug == state.mode:
        return mistake("same_mode", f"The mode is {mode.name} already.", "reset", fails_turn=True)

    def switch() -> Reply:
        state.mode = slug
        return lambda: f"The mode is now {mode.name}."

    return call.offered(switch)


def _mode_title(call: Call) -> str:
    reason = call.params.get("reason")
    return f" to '{call.params.get('mode_slug', '')}'" + (f" because: {reason}" if reason else "")


SWITCH_MODE = Tool(
    name="switch_mode",
    run=_switch,
    required=("mode_slug",),
    demanded=("reason",),
    is_drilled=True,
    filled=("mode_slug",),
    problem=lambda params, state: mode_problem(params["mode_slug"], state, is_switch=True),
    title=_mode_title,
)


def _update(call: Call) -> Result:
    def update() -> Reply:
        call.state.todos = list(read_checklist(call.params.get("todos", ""))[0])
        return lambda: "The checklist was updated."

    return call.offered(update, "keep")


UPDATE_TODO_LIST = Tool(
    name="update_todo_list",
    run=_update,
    demanded=("todos",),
    is_drilled=True,
    arguments={"todos": Argument(normal=checklist_items)},
    problem=lambda params, state: todos_problem(params["todos"]),
)
