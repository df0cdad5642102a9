"""Checklist text, as `update_todo_list` and `new_task` take it."""

import re
from collections.abc import Iterable, Sequence
from typing import Literal

from services.protocols.javascript.text import SPACE_CLASS, trim

Status = Literal["pending", "in_progress", "completed"]
Item = tuple[Status, str]

_ITEM = re.compile(
    rf"^(?:-{SPACE_CLASS}*)?\[{SPACE_CLASS}*([ xX\-~]){SPACE_CLASS}*\]{SPACE_CLASS}+([^\n\r\u2028\u2029]+)$"
)
_STATUS: dict[str, Status] = {"x": "completed", "X": "completed", "-": "in_progress", "~": "in_progress"}
_MARK: dict[Status, str] = {"pending": " ", "in_progress": "-", "completed": "x"}


def read_checklist(text: str) -> tuple[tuple[Item, ...], tuple[str, ...]]:
    """Return the items of a checklist and the lines that are not blank and not items, which the client drops."""
    items: list[Item] = []
    dropped: list[str] = []
    for line in (trim(line) for line in re.split(r"\r?\n", text)):
        if item := _ITEM.match(line):
            items.append((_STATUS.get(item[1], "pending"), item[2]))
        elif line:
            dropped.append(line)
    return tuple(items), tuple(dropped)


def checklist_problem(text: str) -> str | None:
    """Return one sentence on what is wrong with a checklist, or None; the client itself drops wrong lines silently."""
    items, dropped = read_checklist(text)
    if dropped:
        return f"the line {dropped[0]!r} is no checklist item, so the client drops it."
    return None if items else "the checklist is empty."


def checklist_items(value: object) -> object:
    """Return the form in which checklists are compared: what they say; None for one that is absent."""
    return list(read_checklist(value)[0]) if isinstance(value, str) and value else None


def write_checklist(items: Iterable[Item]) -> str:
    """Return the checklist text of `items`, one a line, in the form that the prompt shows."""
    return "\n".join(f"[{_MARK[status]}] {text}" for status, text in items)


def unfinished_work(items: Sequence[tuple[str, str]]) -> str | None:
    """Return what a client that wants all items completed says to a completion before that, or None when all are."""
    left = [text for status, text in items if status != "completed"]
    if not left:
        return None
    return (
        f"The checklist has {len(left)} of {len(items)} items open, the first of them {left[0]!r}. Finish them and "
        "mark them completed with update_todo_list, then complete the task."
    )
