"""The block that closes every message to the model: where it works, and what is left to do."""

from __future__ import annotations

from collections.abc import Sequence

_STATUS = {"pending": "Pending", "in_progress": "In Progress", "completed": "Completed"}


def environment_block(*sections: tuple[str, Sequence[str]]) -> str:
    """Return the block of `sections`, each a title and its lines; one without lines is left out."""
    shown = "\n\n".join("\n".join((title, *lines)) for title, lines in sections if lines)
    return f"<environment_details>\n{shown}\n</environment_details>"


def todo_table(todos: Sequence[tuple[str, str]], *, is_ruled: bool) -> list[str]:
    """Return the checklist as the lines of a table, with a rule below its head or without; none when it is empty."""
    rows = [f"| {row} | {text} | {_STATUS[status]} |" for row, (status, text) in enumerate(todos, start=1)]
    head = ["| # | Content | Status |", *(["|---|---|---|"] if is_ruled else [])]
    return [*head, *rows] if rows else []
