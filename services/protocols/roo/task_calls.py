"""What both clients say of calls that steer the task: to the model as they run them, and in a verdict."""

from services.protocols.roo.checklist import checklist_problem, unfinished_work
from services.protocols.roo.modes import find_mode
from services.protocols.turn import ClientState
from services.protocols.verdict import Fault

Problem = tuple[Fault, str]
"""What is wrong, and one sentence on it."""


def mode_problem(slug: str, state: ClientState, *, is_switch: bool = False) -> Problem | None:
    """Return what is wrong with the mode that a call names, or None; a switch needs another one than the current."""
    mode = find_mode(slug, state.custom_modes)
    if mode is None:
        return Fault.UNKNOWN_MODE, f"there is no mode {slug!r}."
    if is_switch and slug == state.mode:
        return Fault.SAME_MODE, f"{slug!r} is already the current mode."
    return None


def todos_problem(todos: object) -> Problem | None:
    """Return what is wrong with a checklist, or None."""
    problem = checklist_problem(str(todos))
    return (Fault.BAD_VALUE, problem) if problem else None


def subtask_problem(slug: str, todos: object, state: ClientState) -> Problem | None:
    """Return what is wrong with mode or checklist of a subtask, which needs no checklist, or None."""
    return mode_problem(slug, state) or (todos_problem(todos) if todos else None)


def completion_refusal(state: ClientState, *, turn_failed: bool) -> tuple[str, str] | None:
    """Return code and sentence of why a completion is not taken, or None.

    A setting has it refused while the checklist is unfinished.
    """
    if turn_failed:
        sentence = "A call of this turn failed. Look at what went wrong before you complete the task."
        return "tool_failed_before_completion", sentence
    left = unfinished_work(state.todos or ()) if state.needs_done_todos else None
    return ("open_todos", left) if left else None
