"""Calls that steer the task: questions, completion, modes, subtasks, the checklist."""

from __future__ import annotations

from collections.abc import Mapping

from services.protocols.roo.checklist import read_checklist, unfinished_work
from services.protocols.roo.modes import find_mode
from services.protocols.roo_native.client.call import Call, Result, failed, missing, wrong_type
from services.protocols.roo_native.parse.values import text_of


def ask_followup_question(call: Call) -> Result:
    """Put a question to the user, who takes the first suggestion."""
    if lacking := call.lacks("question"):
        return missing(call, lacking, fails_turn=True)
    suggestions = call.arguments.get("follow_up")
    if not isinstance(suggestions, list):
        return missing(call, "follow_up", fails_turn=True)
    if None in suggestions:
        return wrong_type(call, "follow_up")
    first = suggestions[0].get("text") if suggestions and isinstance(suggestions[0], Mapping) else None
    answer = call.answer_of_case(first if isinstance(first, str) and first else "Do what you think best.")
    return Result("accepted", (), f"<user_message>\n{answer}\n</user_message>", "reset")


def attempt_completion(call: Call) -> Result:
    """Take the result; the client says nothing to it. A setting has it refused while the checklist is unfinished."""
    if call.turn_failed:
        sentence = "A call of this turn failed. Look at what went wrong before you complete the task."
        return failed("tool_failed_before_completion", sentence)
    if call.state.needs_done_todos and (left := unfinished_work(call.state.todos or ())):
        return failed("open_todos", left, "mistake", records_failure=True, fails_turn=True)
    return Result("accepted", (), "", "reset", completed=text_of(call.arguments["result"]))


def switch_mode(call: Call) -> Result:
    """Change the mode."""
    if lacking := call.lacks("mode_slug"):
        return missing(call, lacking)
    state, slug = call.state, text_of(call.arguments["mode_slug"])
    mode = find_mode(slug, state.custom_modes) if call.text("mode_slug") else None
    if mode is None:
        sentence = f"There is no mode {slug!r}."
        return failed("unknown_mode", sentence, "reset", records_failure=True, fails_turn=True)
    if slug == state.mode:
        sentence = f"The mode is {mode.name} already."
        return failed("same_mode", sentence, "reset", records_failure=True, fails_turn=True)

    def do() -> str:
        state.mode = slug
        return f"The mode is now {mode.name}."

    return call.offered(do)


def new_task(call: Call) -> Result:
    """Open a subtask."""
    if lacking := call.lacks("mode", "message"):
        return missing(call, lacking, fails_turn=True)
    if call.text("message") is None:
        return wrong_type(call, "message", "reset")
    slug = text_of(call.arguments["mode"])
    mode = find_mode(slug, call.state.custom_modes) if call.text("mode") else None
    if mode is None:
        return failed("unknown_mode", f"There is no mode {slug!r}.", "reset")
    name = mode.name
    return call.offered(lambda: call.answer_of_case(f"A subtask was opened in the mode {name}."))


def update_todo_list(call: Call) -> Result:
    """Replace the checklist; lines that are no items are dropped without a word."""

    def do() -> str:
        call.state.todos = [(status, text) for status, text in read_checklist(call.text("todos") or "")[0]]
        return "The checklist was updated."

    return call.offered(do, "keep")
