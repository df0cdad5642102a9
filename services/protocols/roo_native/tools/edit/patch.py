"""Puts a patch into files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.protocols.javascript import SPACES, trim
from services.protocols.roo_native.tools.edit.patch_text import AddFile, DeleteFile, Hunk, Operation, PatchError

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
    if isinstance(operation, AddFile):
        return FileChange(operation.path, None, operation.text)
    before = read(operation.path)
    if before is None:
        raise PatchError("file_not_found", f"there is no file {operation.path}")
    if isinstance(operation, DeleteFile):
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
    places = sorted(_Places(lines).of(hunks), key=lambda place: place[0])
    for start, length, new in reversed(places):
        lines[start : start + length] = new
    if not lines or lines[-1]:
        lines.append("")
    return "\n".join(lines)


_Place = tuple[int, int, Sequence[str]]


class _Places:
    """Finds the place of each hunk, forward from the last one's end."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._file = _Variants(lines)
        self._from = 0

    def of(self, hunks: Sequence[Hunk]) -> list[_Place]:
        return [self._place(hunk) for hunk in hunks]

    def _place(self, hunk: Hunk) -> _Place:
        if hunk.context is not None:
            found = self._find((hunk.context,), at_end=False)
            if found is None:
                raise PatchError("no_match", f"there is no line {hunk.context!r} where the hunk should stand")
            self._from = found + 1
        lines = self._file.exact
        if not hunk.old:
            return len(lines) - 1 if lines and not lines[-1] else len(lines), 0, hunk.new
        old, new = hunk.old, hunk.new
        found = self._find(old, at_end=hunk.at_end)
        if found is None and not old[-1]:
            old, new = old[:-1], new[:-1] if new and not new[-1] else new
            found = self._find(old, at_end=hunk.at_end)
        if found is None:
            raise PatchError("no_match", f"the lines from {hunk.old[0]!r} on are not in the file")
        self._from = found + len(old)
        return found, len(old), new

    def _find(self, wanted: Sequence[str], *, at_end: bool) -> int | None:
        if not wanted:
            return self._from
        last = len(self._file.exact) - len(wanted)
        if last < 0:
            return None
        start = last if at_end else self._from
        wanted_forms = _Variants(wanted)
        for form in range(len(_FORMS)):
            lines, pattern = self._file.form(form), wanted_forms.form(form)
            for index in range(start, last + 1):
                if lines[index] == pattern[0] and lines[index : index + len(pattern)] == pattern:
                    return index
        return None


class _Variants:
    """Lines in the four forms in which they are compared, strictest first, made when they are asked for."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.exact = list(lines)
        self._forms = [self.exact]

    def form(self, number: int) -> list[str]:
        while len(self._forms) <= number:
            self._forms.append([_FORMS[len(self._forms)](line) for line in self.exact])
        return self._forms[number]


def _plain(line: str) -> str:
    return trim(line).translate(_PLAIN)


_FORMS: tuple[Callable[[str], str], ...] = (str, lambda line: line.rstrip(SPACES), trim, _plain)
