"""What the client shows of the workspace: numbered files, listings, search results."""

import fnmatch
import re
from collections.abc import Iterator, Sequence

import re2  # type: ignore[import-untyped]

from services.protocols.roo.ignored_files import IGNORE_FILE, IgnoreRules, ignore_rules
from services.protocols.roo.normal_forms import is_folder, same_path
from services.protocols.turn import ClientState

MAX_LISTED = 200
MAX_FOUND = 300

_BRACES = re.compile(r"\{([^{}]*)\}")
_MAX_GLOBS = 64
_QUIET = re2.Options()
_QUIET.log_errors = False


class BadExpression(ValueError):
    """The regular expression of a search cannot be read."""


def rules_of(state: ClientState) -> IgnoreRules:
    """Return the ignore rules of the workspace as it stands."""
    return ignore_rules(state.files.get(IGNORE_FILE))


def is_known_folder(state: ClientState, path: str) -> bool:
    """Return whether `path`, in the spelling of `same_path`, is a folder."""
    return path not in state.files and is_folder(path, (*state.files, *state.paths))


def numbered(text: str, first: int = 1) -> str:
    """Return the lines of `text` with their numbers in front; a line break at the end opens no line."""
    lines = text.removesuffix("\n").split("\n")
    width = len(str(first + len(lines) - 1))
    return "\n".join(f"{number:>{width}} | {line}" for number, line in enumerate(lines, start=first))


def listing(state: ClientState, folder: str, *, recursive: bool) -> str:
    """Return what stands in `folder`, one path a line, folders with a slash at the end; hidden files are left out."""
    rules, root = rules_of(state), same_path(folder)
    inside = "" if root == "." else f"{root}/"
    entries: dict[str, None] = {}
    for path in sorted({*state.files, *map(same_path, state.paths)}):
        if path.startswith(inside) and not rules.hide(path):
            parts = path[len(inside) :].split("/")
            depths = range(1, len(parts) + 1) if recursive else (1,)
            entries.update(dict.fromkeys("/".join(parts[:depth]) + "/" * (depth < len(parts)) for depth in depths))
    if not entries:
        return "There are no files here."
    shown = sorted(entries)[:MAX_LISTED]
    more = [f"(The list ends at {MAX_LISTED} entries; list a folder further down to see the rest.)"]
    return "\n".join(shown + (more if len(entries) > MAX_LISTED else []))


def found_text(state: ClientState, folder: str, expression: str, glob: str) -> str:
    """Return the lines below `folder` that `expression` matches, with one line around each, by file.

    Only files whose text is known are searched.

    Raises:
        BadExpression: `expression` is no regular expression of Rust's kind.
    """
    hits = list(_hits(state, same_path(folder), _compiled(expression), glob))
    count = sum(len(lines) for _, _, lines in hits)
    if not count:
        return "Found 0 results."
    parts = [f"Found {count} result{'s' if count > 1 else ''}."]
    for path, text, lines in hits:
        parts.append(f"# {path}\n" + "\n----\n".join(_excerpts(text, lines)) + "\n----")
    return "\n\n".join(parts)


def _compiled(expression: str) -> object:
    try:
        return re2.compile(expression, options=_QUIET)
    except UnicodeEncodeError as error:
        raise BadExpression("it holds half a character") from error
    except re2.error as error:
        raise BadExpression(error.args[0].decode("utf-8", "replace")) from error


def _hits(
    state: ClientState, folder: str, pattern: object, glob: str
) -> Iterator[tuple[str, Sequence[str], Sequence[int]]]:
    rules, left = rules_of(state), MAX_FOUND
    for path, text in sorted(state.files.items()):
        if not _is_searched(path, folder, glob) or rules.hide(path):
            continue
        lines = text.encode("utf-8", "replace").decode("utf-8").removesuffix("\n").split("\n")
        numbers = [number for number, line in enumerate(lines) if pattern.search(line)][:left]  # type: ignore[attr-defined]
        left -= len(numbers)
        if numbers:
            yield path, lines, numbers


def _is_searched(path: str, folder: str, glob: str) -> bool:
    inside = "" if folder == "." else f"{folder}/"
    if path != folder and not path.startswith(inside):
        return False
    name = path.rpartition("/")[2]
    return any(fnmatch.fnmatchcase(path if "/" in plain else name, plain) for plain in _globs(glob or "*"))


def _globs(glob: str) -> Sequence[str]:
    waiting, done = [glob.removeprefix("/")], list[str]()
    while waiting and len(waiting) + len(done) < _MAX_GLOBS:
        plain = waiting.pop()
        if braces := _BRACES.search(plain):
            waiting += [plain[: braces.start()] + choice + plain[braces.end() :] for choice in braces[1].split(",")]
        else:
            done.append(plain)
    return done


def _excerpts(lines: Sequence[str], hits: Sequence[int]) -> Iterator[str]:
    groups: list[tuple[int, int]] = []
    for hit in hits:
        start, end = max(0, hit - 1), min(len(lines), hit + 2)
        if groups and start <= groups[-1][1]:
            groups[-1] = groups[-1][0], end
        else:
            groups.append((start, end))
    for start, end in groups:
        yield "\n".join(f"{number + 1:>3} | {lines[number]}" for number in range(start, end))
