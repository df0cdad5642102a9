"""Puts a patch into files."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from services.protocols.javascript import SPACES, trim
from services.protocols.roo_native.tools.edit.patch_text import Hunk, Operation, PatchError

_PLAIN = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        **dict.fromkeys("\u2018\u2019\u201a\u201b", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f", '"'),
        **dict.fromkeys("\u00a0\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "),
    }
)


@dataclass(frozen=True, slots=True)
class FileChange:
    """What becomes of one file.

    Attributes:
        before: its text so far; None for a new file.
        after: its text; None when it goes.
        move_to: where the text goes instead, if it moves.
    """

    path: str
    before: str | None
    after: str | None
    move_to: str | None = None


def changes_of(operations: Sequence[Operation], read: Callable[[str], str | None]) -> list[FileChange]:
    """Return what each operation does to the files as they are before any of them.

    Args:
        operations: the patch.
        read: gives the text of a path, or None when there is no such file.

    Raises:
        PatchError: a file is missing, or lines that should be in it are not.
    """
    return [_change(operation, read) for operation in operations]


def _change(operation: Operation, read: Callable[[str], str | None]) -> FileChange:
    if operation.kind == "add":
        return FileChange(operation.path, None, operation.text)
    before = read(operation.path)
    if before is None:
        raise PatchError("file_not_found", f"there is no file {operation.path}")
    if operation.kind == "delete":
        return FileChange(operation.path, before, None)
    return FileChange(operation.path, before, patched(before, operation.hunks), operation.move_to)


def patched(text: str, hunks: Sequence[Hunk]) -> str:
    """Return `text` with `hunks` applied; the result ends in a line break.

    Raises:
        PatchError: the lines of a hunk are not there, from the last hunk's place on.
    """
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    places = sorted(_places(lines, hunks), key=lambda place: place[0])
    for start, length, new in reversed(places):
        lines[start : start + length] = new
    if not lines or lines[-1]:
        lines.append("")
    return "\n".join(lines)


def _places(lines: Sequence[str], hunks: Sequence[Hunk]) -> Iterator[tuple[int, int, Sequence[str]]]:
    forms, start = [list(lines)], 0
    for hunk in hunks:
        if hunk.context is not None:
            place = _find(forms, (hunk.context,), start)
            if place is None:
                raise PatchError("no_match", f"there is no line {hunk.context!r} where the hunk should stand")
            start = place + 1
        if not hunk.old:
            yield len(lines) - 1 if lines and not lines[-1] else len(lines), 0, hunk.new
            continue
        old, new = hunk.old, hunk.new
        place = _find(forms, old, start, at_end=hunk.at_end)
        if place is None and not old[-1]:
            old, new = old[:-1], new[:-1] if new and not new[-1] else new
            place = _find(forms, old, start, at_end=hunk.at_end)
        if place is None:
            raise PatchError("no_match", f"the lines from {hunk.old[0]!r} on are not in the file")
        start = place + len(old)
        yield place, len(old), new


def _find(forms: list[list[str]], searched: Sequence[str], start: int, *, at_end: bool = False) -> int | None:
    last = len(forms[0]) - len(searched)
    if not searched or last < 0:
        return None if searched else start
    first = last if at_end else start
    for number, form in enumerate(_FORMS):
        if number == len(forms):
            forms.append([form(line) for line in forms[0]])
        lines, pattern = forms[number], [form(line) for line in searched]
        for index in range(first, last + 1):
            if lines[index] == pattern[0] and lines[index : index + len(pattern)] == pattern:
                return index
    return None


_FORMS: tuple[Callable[[str], str], ...] = (
    str,
    lambda line: line.rstrip(SPACES),
    trim,
    lambda line: trim(line).translate(_PLAIN),
)
"""In which lines are compared, strictest first."""
