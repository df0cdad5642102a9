"""Tasks of one call that steer: questions, completions, modes, subtasks, checklists."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from services.protocols.cases import FreeText
from services.protocols.material.draw import Draw
from services.protocols.material.scenario import Draft, Step
from services.protocols.roo.checklist import Item, Status, write_checklist
from services.protocols.roo.scenarios.calls import listing
from services.protocols.roo.scenarios.steps import ask, checklist, complete, switch

_SLUGS = ("architect", "code", "ask", "debug", "orchestrator")
_STATES: Mapping[Status, str] = MappingProxyType({"completed": "done", "in_progress": "in progress", "pending": "open"})
_WORKING_MODES = ("code", "debug", "architect")


def ask_choice(count: int) -> Callable[[Draw], Draft]:
    """Return what asks for a question with `count` suggestions."""

    def build(draw: Draw) -> Draft:
        topic, options = draw.word("topic"), draw.several("option", count)
        slots = {"topic": topic, **dict(zip("abc", options, strict=False))}
        step = ask(f"Which {topic} should I use?", options, topic)
        return Draft(slots=slots, turns=((step,),), mode=draw.pick(_SLUGS))

    return build


def ask_tabs(draw: Draw) -> Draft:
    """A choice between the two open files."""
    topic, paths = draw.word("topic"), draw.several("path", 2)
    step = ask(f"Which open file is about the {topic}?", paths, topic)
    return Draft(slots={"topic": topic}, turns=((step,),), mode=draw.pick(_SLUGS), open_tabs=tuple(paths))


def _keyword(text: str) -> str:
    """Return the longest word of `text` behind the first, which an answer in other words would still hold."""
    return max(text.split()[1:], key=len)


def complete_file(draw: Draw) -> Draft:
    """A result that names a file and what it does."""
    path, deed = draw.word("path"), draw.word("deed")
    numbers = re.findall(r"(?<!\w)\d+(?!\w)", deed)
    step = complete(f"`{path}` now {deed}.", path, *numbers, _keyword(deed))
    return Draft(slots={"path": path, "deed": deed}, turns=((step,),), mode=draw.pick(_WORKING_MODES))


def complete_tests(draw: Draw) -> Draft:
    """A result that names a folder and a count."""
    folder, number = draw.word("folder"), str(draw.number(2, 90))
    step = complete(f"All {number} tests in `{folder}` pass.", folder, number)
    return Draft(slots={"folder": folder, "number": number}, turns=((step,),), mode=draw.pick(_WORKING_MODES))


def complete_todos(draw: Draw) -> Draft:
    """A result after the last item of the list."""
    path, jobs = draw.word("path"), draw.several("job", 2)
    return Draft(
        slots={"path": path},
        turns=((complete(f"All items are done, see `{path}`.", path),),),
        mode=draw.pick(_WORKING_MODES),
        todos=tuple(("completed", job) for job in jobs),
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _switch(draw: Draw, mode: str, reason: str, slots: Mapping[str, str]) -> Draft:
    before = draw.pick([slug for slug in _SLUGS if slug != mode])
    return Draft(slots=slots, turns=((switch(mode, _capital(reason)),),), mode=before)


def switch_named(draw: Draw) -> Draft:
    """A mode named in the task."""
    mode = draw.pick(_SLUGS)
    aim = draw.word(f"aim_{mode}")
    return _switch(draw, mode, aim, {"mode": mode, "job": aim})


def switch_for(mode: str) -> Callable[[Draw], Draft]:
    """Return what asks for `mode` by what it is for."""

    def build(draw: Draw) -> Draft:
        slots = {name: draw.word(name) for name in ("job", "fault")}
        return _switch(draw, mode, slots["fault" if mode == "debug" else "job"], slots)

    return build


def switch_blocked(draw: Draw) -> Draft:
    """Out of a mode that may not edit."""
    path, job = draw.word("path"), draw.word("job")
    slots, mode = {"path": path, "job": job}, draw.pick(("ask", "orchestrator"))
    turns = ((switch("code", _capital(job)),),)
    return Draft(slots=slots, turns=turns, mode=mode, workspace=listing(draw, path))


def _delegate(draw: Draw, mode: str, message: str, slots: dict[str, str], *mentions: str) -> Draft:
    step = Step("new_task", {"mode": mode, "message": _capital(message)}, (FreeText("message", mentions),))
    return Draft(slots={"mode": mode, **slots}, turns=((step,),), mode=draw.pick(_SLUGS))


def delegate_named(draw: Draw) -> Draft:
    """A subtask for a named mode."""
    mode, path = draw.pick(_SLUGS), draw.word("path")
    aim = draw.word(f"aim_{mode}")
    return _delegate(draw, mode, f"{aim} in `{path}`.", {"job": aim, "path": path}, path, _keyword(aim))


def delegate_fault(draw: Draw) -> Draft:
    """A subtask that hunts a fault."""
    path, fault = draw.word("path"), draw.word("fault")
    slots = {"fault": fault, "path": path}
    return _delegate(draw, "debug", f"{fault}, look at `{path}`.", slots, path, _keyword(fault))


def delegate_todo(draw: Draw) -> Draft:
    """A subtask for the one open item of the todo list."""
    done, left = draw.several("job", 2)
    draft = _delegate(draw, "code", f"{left}.", {}, _keyword(left))
    return replace(draft, todos=(("completed", done), ("pending", left)))


def delegate_with_todos(draw: Draw) -> Draft:
    """A subtask in a named mode that comes with a checklist."""
    draft, jobs = delegate_named(draw), draw.several("job", 2)
    (step,) = draft.steps
    todos = "\n".join(f"[ ] {job}" for job in jobs)
    slots = {**draft.slots, "items": "\n".join(f"- {job}" for job in jobs)}
    return replace(draft, turns=((replace(step, arguments={**step.arguments, "todos": todos}),),), slots=slots)


def _todo(draw: Draw, items: Sequence[Item], slots: dict[str, str], before: Sequence[Item] = ()) -> Draft:
    return Draft(slots=slots, turns=((checklist(items),),), mode=draw.pick(_SLUGS), todos=tuple(before))


def _items(draw: Draw) -> list[Item]:
    return [(draw.pick(tuple(_STATES)), job) for job in draw.several("job", 3)]


def todo_marked(draw: Draw) -> Draft:
    """A new list that the task spells out, marks included."""
    items = _items(draw)
    return _todo(draw, items, {"items": write_checklist(items)})


def todo_fresh(draw: Draw) -> Draft:
    """A new list of three items, each in a state of its own."""
    items = _items(draw)
    return _todo(draw, items, {"items": "\n".join(f"- {_STATES[state]}: {job}" for state, job in items)})


def todo_plan(draw: Draw) -> Draft:
    """A new list of three open items."""
    jobs = draw.several("job", 3)
    return _todo(draw, [("pending", job) for job in jobs], {"items": "\n".join(f"- {job}" for job in jobs)})


def todo_advance(draw: Draw) -> Draft:
    """The present list, one item done and the next begun."""
    done, doing, left, last = draw.several("job", 4)
    before: list[Item] = [("completed", done), ("in_progress", doing), ("pending", left), ("pending", last)]
    after: list[Item] = [("completed", done), ("completed", doing), ("in_progress", left), ("pending", last)]
    if draw.number(0, 1):
        before, after = before[:3], after[:3]
    return _todo(draw, after, {"doing": doing, "open": left}, before)
