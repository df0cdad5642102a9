"""Calls that steer the task: questions, completion, modes, subtasks, the checklist."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from services.protocols.roo.checklist import read_checklist, unfinished_work
from services.protocols.roo.modes import find_mode
from services.protocols.roo_xml.arguments import BadNestedValue, typed_arguments
from services.protocols.roo_xml.client.call import Call, Reply, Result, failed, missing


def ask_followup_question(call: Call) -> Result:
    """Put a question to the user, who takes the first suggestion; the classic client looks for the question first."""
    lacking = call.lacks("question")
    if lacking and call.edition.is_classic:
        return missing(call, lacking)
    try:
        suggestions = typed_arguments(call.tool, call.params)["follow_up"]
    except BadNestedValue as bad:
        counts = call.edition.is_classic
        sentence = f"follow_up could not be read as XML: {bad}."
        return failed("follow_up_xml", sentence, "mistake" if counts else "keep", records_failure=counts)
    if lacking:
        return missing(call, lacking, fails_turn=True)
    first = next(iter(cast(Sequence[dict[str, str]], suggestions)), {}).get("text") or "Do what you think best."
    return Result("accepted", (), lambda: f"<answer>\n{call.answer_of_case(first)}\n</answer>", "reset")


def attempt_completion(call: Call) -> Result:
    """Take the result; the reference client says nothing to it, the classic one hands out an empty result."""
    if call.turn_failed:
        sentence = "A call of this turn failed. Look at what went wrong before you complete the task."
        return failed("tool_failed_before_completion", sentence)
    if call.state.needs_done_todos and (left := unfinished_work(call.state.todos or ())):
        return failed("open_todos", left, "mistake", records_failure=True, fails_turn=True)
    if lacking := call.lacks("result"):
        return missing(call, lacking)
    is_silent = not call.edition.is_classic
    return Result("accepted", (), str, "reset", is_silent=is_silent, completed=call.params["result"])


def switch_mode(call: Call) -> Result:
    """Change the mode."""
    if lacking := call.lacks("mode_slug"):
        return missing(call, lacking)
    state, slug = call.state, call.params["mode_slug"]
    mode = find_mode(slug, state.custom_modes)
    if mode is None:
        sentence = f"There is no mode {slug!r}."
        return failed("unknown_mode", sentence, "reset", records_failure=True, fails_turn=True)
    if slug == state.mode:
        sentence = f"The mode is {mode.name} already."
        return failed("same_mode", sentence, "reset", records_failure=True, fails_turn=True)

    def do() -> Reply:
        state.mode = slug
        return lambda: f"The mode is now {mode.name}."

    return call.offered(do)


def new_task(call: Call) -> Result:
    """Open a subtask."""
    if lacking := call.lacks("mode", "message"):
        return missing(call, lacking, fails_turn=True)
    mode = find_mode(call.params["mode"], call.state.custom_modes)
    if mode is None:
        return failed("unknown_mode", f"There is no mode {call.params['mode']!r}.", "reset")
    name = mode.name
    return call.offered(lambda: lambda: call.answer_of_case(f"A subtask was opened in the mode {name}."))


def update_todo_list(call: Call) -> Result:
    """Replace the checklist; lines that are no items are dropped without a word."""

    def do() -> Reply:
        call.state.todos = [(status, text) for status, text in read_checklist(call.params.get("todos", ""))[0]]
        return lambda: "The checklist was updated."

    return call.offered(do, "keep")
