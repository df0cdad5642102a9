"""Skills that steer: questions, completion, modes, subtasks, the todo list."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from services.protocols.cases import FreeText
from services.protocols.roo.checklist import Item, Status, write_checklist
from services.protocols.roo_xml.authoring.draft import Draft
from services.protocols.roo_xml.authoring.draw import Draw
from services.protocols.roo_xml.authoring.skills_read import listing

_SLUGS = ("architect", "code", "ask", "debug", "orchestrator")
_STATES: Mapping[Status, str] = MappingProxyType({"completed": "done", "in_progress": "in progress", "pending": "open"})
_WORKING_MODES = ("code", "debug", "architect")


def _ask(draw: Draw, question: str, topic: str, options: Sequence[str], slots: dict[str, str]) -> Draft:
    follow_up = "\n".join(f"<suggest>{option}</suggest>" for option in options)
    free = (FreeText("question", (topic,), question=True),)
    params = {"question": question, "follow_up": follow_up}
    return Draft(params, {"topic": topic, **slots}, draw.pick(_SLUGS), free_text=free)


def ask_two(draw: Draw) -> Draft:
    """A choice between two."""
    topic, options = draw.word("topic"), draw.several("option", 2)
    slots = dict(zip("ab", options, strict=True))
    return _ask(draw, f"Which {topic} should I use?", topic, options, slots)


def ask_three(draw: Draw) -> Draft:
    """A choice among three."""
    topic, options = draw.word("topic"), draw.several("option", 3)
    slots = dict(zip("abc", options, strict=True))
    return _ask(draw, f"Which {topic} should I use?", topic, options, slots)


def ask_tabs(draw: Draw) -> Draft:
    """A choice between the two open files."""
    topic, paths = draw.word("topic"), draw.several("path", 2)
    draft = _ask(draw, f"Which open file is about the {topic}?", topic, paths, {})
    return Draft(draft.params, draft.slots, draft.mode, open_tabs=tuple(paths), free_text=draft.free_text)


def _keyword(text: str) -> str:
    """Return the longest word of `text` behind the first, which an answer in other words would still hold."""
    return max(text.split()[1:], key=len)


def _numbers(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"(?<!\w)\d+(?!\w)", text))


def complete_file(draw: Draw) -> Draft:
    """A result that names a file and what it does."""
    path, deed = draw.word("path"), draw.word("deed")
    rule = FreeText("result", (path, *_numbers(deed), _keyword(deed)))
    slots = {"path": path, "deed": deed}
    return Draft({"result": f"`{path}` now {deed}."}, slots, draw.pick(_WORKING_MODES), free_text=(rule,))


def complete_tests(draw: Draw) -> Draft:
    """A result that names a folder and a count."""
    folder, number = draw.word("folder"), str(draw.number(2, 90))
    rule = FreeText("result", (folder, number))
    slots = {"folder": folder, "number": number}
    result = f"All {number} tests in `{folder}` pass."
    return Draft({"result": result}, slots, draw.pick(_WORKING_MODES), free_text=(rule,))


def complete_todos(draw: Draw) -> Draft:
    """A result after the last item of the list."""
    path, jobs = draw.word("path"), draw.several("job", 2)
    rule = FreeText("result", (path,))
    params = {"result": f"All items are done, see `{path}`."}
    todos = tuple(("completed", job) for job in jobs)
    return Draft(params, {"path": path}, draw.pick(_WORKING_MODES), todos=todos, free_text=(rule,))


def _switch(draw: Draw, mode: str, reason: str, slots: dict[str, str]) -> Draft:
    now = draw.pick([slug for slug in _SLUGS if slug != mode])
    params = {"mode_slug": mode, "reason": _sentence(reason)}
    return Draft(params, slots, now, free_text=(FreeText("reason"),))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def switch_named(draw: Draw) -> Draft:
    """A mode named in the task."""
    mode = draw.pick(_SLUGS)
    aim = draw.word(f"aim_{mode}")
    return _switch(draw, mode, aim, {"mode": mode, "job": aim})


def switch_for(mode: str) -> Callable[[Draw], Draft]:
    """Return the skill of finding `mode` by what it is for."""

    def skill(draw: Draw) -> Draft:
        slots = {name: draw.word(name) for name in ("job", "fault")}
        return _switch(draw, mode, slots["fault" if mode == "debug" else "job"], slots)

    return skill


def switch_blocked(draw: Draw) -> Draft:
    """Out of a mode that may not edit."""
    path, job = draw.word("path"), draw.word("job")
    params = {"mode_slug": "code", "reason": _sentence(job)}
    now = draw.pick(("ask", "orchestrator"))
    slots = {"path": path, "job": job}
    return Draft(params, slots, now, workspace=listing(draw, path), free_text=(FreeText("reason"),))


def _delegate(draw: Draw, mode: str, message: str, slots: dict[str, str], *mentions: str) -> Draft:
    rule = FreeText("message", mentions)
    params = {"mode": mode, "message": _sentence(message)}
    return Draft(params, {"mode": mode, **slots}, draw.pick(_SLUGS), free_text=(rule,))


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
    todos = (("completed", done), ("pending", left))
    return Draft(draft.params, draft.slots, draft.mode, todos=todos, free_text=draft.free_text)


def _todo(draw: Draw, items: Sequence[Item], slots: dict[str, str], before: Sequence[Item] = ()) -> Draft:
    params = {"todos": write_checklist(items)}
    return Draft(params, slots, draw.pick(_SLUGS), todos=tuple(before))


def todo_marked(draw: Draw) -> Draft:
    """A new list that the task spells out, marks included."""
    items: list[Item] = [(draw.pick(tuple(_STATES)), job) for job in draw.several("job", 3)]
    return _todo(draw, items, {"items": write_checklist(items)})


def todo_fresh(draw: Draw) -> Draft:
    """A new list of three items, each in a state of its own."""
    items: list[Item] = [(draw.pick(tuple(_STATES)), job) for job in draw.several("job", 3)]
    return _todo(draw, items, {"items": "\n".join(f"- {_STATES[state]}: {job}" for state, job in items)})


def todo_plan(draw: Draw) -> Draft:
    """A new list of three open items."""
    jobs = draw.several("job", 3)
    items: list[Item] = [("pending", job) for job in jobs]
    return _todo(draw, items, {"items": "\n".join(f"- {job}" for job in jobs)})


def todo_advance(draw: Draw) -> Draft:
    """The present list, one item done and the next begun."""
    done, doing, left, last = draw.several("job", 4)
    before: list[Item] = [("completed", done), ("in_progress", doing), ("pending", left), ("pending", last)]
    after: list[Item] = [("completed", done), ("completed", doing), ("in_progress", left), ("pending", last)]
    if draw.number(0, 1):
        before, after = before[:3], after[:3]
    return _todo(draw, after, {"doing": doing, "open": left}, before)
