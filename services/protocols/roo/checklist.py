"""Checklist text, as `update_todo_list` and `new_task` take it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from services.protocols.javascript import SPACE_CLASS, trim

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
        if found := _ITEM.match(line):
            items.append((_STATUS.get(found[1], "pending"), found[2]))
        elif line:
            dropped.append(line)
    return tuple(items), tuple(dropped)


def write_checklist(items: Iterable[Item]) -> str:
    """Return the checklist text of `items`, one a line, in the form that the prompt shows."""
    return "\n".join(f"[{_MARK[status]}] {text}" for status, text in items)
