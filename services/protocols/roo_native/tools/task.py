"""Tools that steer the task: questions, completion, modes, subtasks, the checklist, instructions."""

from collections.abc import Mapping

from services.protocols.javascript.text import trim
from services.protocols.roo.checklist import checklist_items, read_checklist
from services.protocols.roo.modes import find_mode
from services.protocols.roo.task_calls import completion_refusal, mode_problem, subtask_problem, todos_problem
from services.protocols.roo_native.parse.values import text_of
from services.protocols.roo_native.tools.tool import (
    Argument,
    Arguments,
    Call,
    Problem,
    Result,
    Tool,
    failed,
    missing,
    mistake,
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


def _suggestions_problem(arguments: Arguments, state: ClientState) -> Problem | None:
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
    problem=_suggestions_problem,
)


def _complete(call: Call) -> Result:
    if refusal := completion_refusal(call.state, turn_failed=call.turn_failed):
        return failed(*refusal) if call.turn_failed else mistake(*refusal, fails_turn=True)
    return Result("accepted", (), "", "reset", completed=text_of(call.arguments["result"]))


ATTEMPT_COMPLETION = Tool(
    name="attempt_completion", run=_complete, arguments={"result": Argument("filled")}, is_drilled=True
)


def _open(call: Call) -> Result:
    call.text("message", "reset")
    slug = text_of(call.arguments["mode"])
    mode = find_mode(slug, call.state.custom_modes) if isinstance(call.arguments["mode"], str) else None
    if mode is None:
        return failed("unknown_mode", f"There is no mode {slug!r}.", "reset")
    return call.answered(f"A subtask was opened in the mode {mode.name}.")


NEW_TASK = Tool(
    name="new_task",
    run=_open,
    arguments={"mode": Argument("present"), "message": Argument("present"), "todos": Argument(normal=checklist_items)},
    is_drilled=True,
    filled=("mode", "message"),
    lack_fails_turn=True,
    problem=lambda arguments, state: subtask_problem(str(arguments["mode"]), arguments.get("todos"), state),
)


_SKILLS = {
    "create-mcp-server": "Say what the server offers, choose its language, write it, then connect it in mcp.json.",
    "create-mode": "Choose slug, name, role and groups, then add the mode to .roomodes.",
}
"""Instructions by the name under which the prompt lists them."""


def _hand_out(call: Call) -> Result:
    name = text_of(call.arguments["skill"])
    text = call.answer_of_case(_SKILLS.get(name, ""))
    if not text:
        sentence = f"There is no skill {name!r}. The skills are: {', '.join(_SKILLS)}."
        return mistake("unknown_instruction", sentence, "reset", fails_turn=True)
    return call.offered(lambda: f"Skill: {name}\n\n{text}")


def _skill_problem(arguments: Arguments, state: ClientState) -> Problem | None:
    if arguments["skill"] in _SKILLS:
        return None
    return Fault.UNKNOWN_INSTRUCTION, f"{arguments['skill']!r} is none of the skills: {', '.join(_SKILLS)}."


SKILL = Tool(
    name="skill",
    run=_hand_out,
    arguments={"skill": Argument("present"), "args": Argument()},
    is_drilled=True,
    filled=("skill",),
    lack_fails_turn=True,
    problem=_skill_problem,
)


def _switch(call: Call) -> Result:
    state, slug = call.state, text_of(call.arguments["mode_slug"])
    mode = find_mode(slug, state.custom_modes) if isinstance(call.arguments["mode_slug"], str) else None
    if mode is None:
        return mistake("unknown_mode", f"There is no mode {slug!r}.", "reset", fails_turn=True)
    if slug == state.mode:
        return mistake("same_mode", f"The mode is {mode.name} already.", "reset", fails_turn=True)

    def switch() -> str:
        state.mode = slug
        return f"The mode is now {mode.name}."

    return call.offered(switch)


SWITCH_MODE = Tool(
    name="switch_mode",
    run=_switch,
    arguments={"mode_slug": Argument("present"), "reason": Argument("present")},
    is_drilled=True,
    filled=("mode_slug",),
    problem=lambda arguments, state: mode_problem(str(arguments["mode_slug"]), state, is_switch=True),
)


def _update(call: Call) -> Result:
    def update() -> str:
        call.state.todos = [(status, text) for status, text in read_checklist(call.text_or("todos", ""))[0]]
        return "The checklist was updated."

    return call.offered(update, "keep")


UPDATE_TODO_LIST = Tool(
    name="update_todo_list",
    run=_update,
    arguments={"todos": Argument("present", normal=checklist_items)},
    is_drilled=True,
    problem=lambda arguments, state: todos_problem(arguments["todos"]),
)
