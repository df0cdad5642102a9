"""The text of a patch as file operations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.protocols.javascript import trim

_BEGIN, _END = "*** Begin Patch", "*** End Patch"
_ADD, _DELETE, _UPDATE = "*** Add File: ", "*** Delete File: ", "*** Update File: "
_MOVE, _END_OF_FILE = "*** Move to: ", "*** End of File"
_PLACE, _PLACE_WITH_CONTEXT = "@@", "@@ "
_HEREDOCS = ("<<EOF", "<<'EOF'", '<<"EOF"')


class PatchError(ValueError):
    """A text is no patch, or does not fit the files.

    Attributes:
        code: `bad_patch` for its form, `no_match` for lines that are not in the file, `file_not_found`.
        line: number of the line that is wrong, from 1; 0 where none can be named.
    """

    def __init__(self, code: str, problem: str, line: int = 0) -> None:
        super().__init__(f"line {line}: {problem}" if line else problem)
        self.code = code
        self.line = line


@dataclass(frozen=True, slots=True)
class Hunk:
    """One place to change.

    Attributes:
        context: a line that stands somewhere above it, if one is named.
        old: lines that are there, context included.
        new: lines that come instead.
        at_end: the old lines are the file's last.
    """

    context: str | None
    old: tuple[str, ...]
    new: tuple[str, ...]
    at_end: bool


@dataclass(frozen=True, slots=True)
class AddFile:
    """A new file and its text."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class DeleteFile:
    """A file that goes."""

    path: str


@dataclass(frozen=True, slots=True)
class UpdateFile:
    """A file that changes, and moves where `move_to` is named."""

    path: str
    move_to: str | None
    hunks: tuple[Hunk, ...]


Operation = AddFile | DeleteFile | UpdateFile


def patched_paths(patch: str) -> Iterator[str]:
    """Yield the paths that the headers of a patch name, whether the rest of it can be read or not."""
    for line in patch.split("\n"):
        header = next((header for header in (_ADD, _DELETE, _UPDATE) if line.startswith(header)), None)
        if header:
            yield trim(line[len(header) :])


def read_patch(text: str) -> tuple[Operation, ...]:
    """Return the file operations of a patch in order.

    Raises:
        PatchError: `text` is no patch.
    """
    lines = trim(text).split("\n")
    first = 1
    if len(lines) >= 4 and lines[0] in _HEREDOCS and lines[-1].endswith("EOF"):
        lines, first = lines[1:-1], 2
    if trim(lines[0]) != _BEGIN:
        raise PatchError("bad_patch", f"a patch begins with {_BEGIN!r}", first)
    if trim(lines[-1]) != _END:
        raise PatchError("bad_patch", f"a patch ends with {_END!r}", first + len(lines) - 1)
    return tuple(_Reader(lines[1:-1], first + 1).operations())


class _Reader:
    """Reads the lines between begin and end, one operation after the other."""

    def __init__(self, lines: Sequence[str], first: int) -> None:
        self._lines = lines
        self._first = first
        self._at = 0

    def operations(self) -> Iterator[Operation]:
        while self._at < len(self._lines):
            yield self._operation()

    def _operation(self) -> Operation:
        header = trim(self._lines[self._at])
        self._at += 1
        if header.startswith(_ADD):
            return AddFile(header[len(_ADD) :], "".join(f"{line}\n" for line in self._added()))
        if header.startswith(_DELETE):
            return DeleteFile(header[len(_DELETE) :])
        if header.startswith(_UPDATE):
            return self._update(header[len(_UPDATE) :])
        self._at -= 1
        raise self._error(f"{header!r} opens no file operation")

    def _error(self, problem: str) -> PatchError:
        return PatchError("bad_patch", problem, self._first + self._at)

    def _next(self) -> str | None:
        return self._lines[self._at] if self._at < len(self._lines) else None

    def _added(self) -> Iterator[str]:
        while (line := self._next()) is not None and line.startswith("+"):
            self._at += 1
            yield line[1:]

    def _update(self, path: str) -> UpdateFile:
        move_to, line = None, self._next()
        if line is not None and line.startswith(_MOVE):
            move_to = line[len(_MOVE) :]
            self._at += 1
        hunks: list[Hunk] = []
        while (line := self._next()) is not None:
            if not trim(line):
                self._at += 1
            elif line.startswith("***"):
                break
            else:
                hunks.append(self._hunk(is_first=not hunks))
        if not hunks:
            raise self._error(f"the update of {path} changes nothing")
        return UpdateFile(path, move_to, tuple(hunks))

    def _hunk(self, *, is_first: bool) -> Hunk:
        context = self._place(is_first)
        old: list[str] = []
        new: list[str] = []
        start = self._at
        while (line := self._next()) is not None and line != _END_OF_FILE:
            if line and line[0] not in " +-":
                break
            self._at += 1
            if not line.startswith("+"):
                old.append(line[1:])
            if not line.startswith("-"):
                new.append(line[1:])
        if self._at == start:
            raise self._error("a hunk needs lines that begin with a blank, + or -")
        at_end = line == _END_OF_FILE
        self._at += at_end
        return Hunk(context, tuple(old), tuple(new), at_end)

    def _place(self, is_first: bool) -> str | None:
        line = self._lines[self._at]
        if line == _PLACE:
            self._at += 1
            return None
        if line.startswith(_PLACE_WITH_CONTEXT):
            self._at += 1
            return line[len(_PLACE_WITH_CONTEXT) :]
        if not is_first:
            raise self._error("a further hunk begins with @@")
        return None
