"""A patch: its text as file operations, and what it makes of files."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from services.protocols.javascript.text import SPACES, trim

_BEGIN, _END = "*** Begin Patch", "*** End Patch"
_HEADERS: dict[str, Literal["add", "delete", "update"]] = {
    "*** Add File: ": "add",
    "*** Delete File: ": "delete",
    "*** Update File: ": "update",
}
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
class Operation:
    """What a patch does to one file.

    Attributes:
        text: a new file's.
        move_to: where a changed file goes, if it moves.
        hunks: the places to change.
    """

    kind: Literal["add", "delete", "update"]
    path: str
    text: str = ""
    move_to: str | None = None
    hunks: tuple[Hunk, ...] = ()


def patched_paths(patch: str) -> Iterator[str]:
    """Yield the paths that the headers of a patch name, whether the rest of it can be read or not."""
    for line in patch.split("\n"):
        if header := _header(line):
            yield trim(line[len(header) :])


def _header(line: str) -> str | None:
    return next((header for header in _HEADERS if line.startswith(header)), None)


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
        self._lines, self._first, self._at = lines, first, 0

    def operations(self) -> Iterator[Operation]:
        while (line := self._next()) is not None:
            line = trim(line)
            header = _header(line)
            if header is None:
                raise self._error(f"{line!r} opens no file operation")
            self._at += 1
            kind, path = _HEADERS[header], line[len(header) :]
            if kind == "update":
                yield self._update(path)
            else:
                yield Operation(kind, path, "".join(self._added()) if kind == "add" else "")

    def _error(self, problem: str) -> PatchError:
        return PatchError("bad_patch", problem, self._first + self._at)

    def _next(self) -> str | None:
        return self._lines[self._at] if self._at < len(self._lines) else None

    def _rest(self, prefix: str) -> str | None:
        line = self._next()
        if line is None or not line.startswith(prefix):
            return None
        self._at += 1
        return line[len(prefix) :]

    def _added(self) -> Iterator[str]:
        while (line := self._rest("+")) is not None:
            yield f"{line}\n"

    def _update(self, path: str) -> Operation:
        move_to = self._rest(_MOVE)
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
        return Operation("update", path, move_to=move_to, hunks=tuple(hunks))

    def _hunk(self, *, is_first: bool) -> Hunk:
        context = None
        if self._next() == _PLACE:
            self._at += 1
        elif (context := self._rest(_PLACE_WITH_CONTEXT)) is None and not is_first:
            raise self._error("a further hunk begins with @@")
        old, new, start = list[str](), list[str](), self._at
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
