"""The texts that a profile's prompts are made of, the mode that a case is in, and the block that closes a message."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from services.protocols.cases import Case
from services.protocols.roo.modes import BUILT_IN_MODES, Mode, find_mode


def mode_of(case: Case) -> Mode:
    """Return the mode that the case is in; `code` when its slug is unknown."""
    return find_mode(case.mode, case.custom_modes) or BUILT_IN_MODES["code"]


@cache
def sections_of(package: str, name: str) -> Mapping[str, str]:
    """Return the sections of a text by title; a line `%% title` opens each."""
    parts = (part.partition("\n") for part in text_of(package, name).split("%% ")[1:])
    return MappingProxyType({title: body.strip("\n") for title, _, body in parts})


@cache
def text_of(package: str, name: str) -> str:
    """Return the text `name` of the prompts of `package`."""
    return files(package).joinpath("prompts", f"{name}.txt").read_text(encoding="utf-8").rstrip("\n")


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
