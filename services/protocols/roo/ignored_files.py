"""`.rooignore`: which paths the client keeps from the model.

The syntax is gitignore's in the dialect of the library that the client uses (npm's `ignore` 7.0): case does not count,
a file below a hidden folder stays hidden whatever a later line says, and `[!a]` is no negation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from services.protocols.javascript import SPACE_CLASS as S
from services.protocols.javascript import trim
from services.protocols.roo.paths import is_outside, same_path

IGNORE_FILE = ".rooignore"

_READERS = frozenset(
    (
        *("cat", "less", "more", "head", "tail", "grep", "awk", "sed"),
        *("get-content", "gc", "type", "select-string", "sls"),
    )
)
"""Commands that print the files that they are given."""

_BLANKS = re.compile(rf"{S}+")
_ENDING_BLANKS = re.compile(rf"(?<!\\)((?:\\\\)*)(\\?){S}+\Z")
_INNER_SLASH = re.compile(r"/(?!\Z)")
_LOOSE_BACKSLASH = re.compile(r"(?:[^\\]|\A)\\\Z")
_RANGE = re.compile("([0-z])-([0-z])")
_TOKEN = re.compile(r"/\*\*(?=/|\Z)|\\.|\*+|\?|\[[^\]/]*(?:\]|\Z)|[\s\S]")
_ANY_FOLDERS = re.compile(r"/?\*\*/")

_SPECIAL = re.compile(r"[\\\[^&~|]|-(?=-)")

_NEVER = "(?!)"
_ENDS = r"(?=\Z|/\Z)"


@dataclass(frozen=True, slots=True)
class _Rule:
    shows: bool
    pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class IgnoreRules:
    """The rules of one `.rooignore`; without rules nothing is hidden."""

    rules: tuple[_Rule, ...] = ()

    def hide(self, path: str) -> bool:
        """Return whether the client keeps `path` from the model; paths outside the workspace are never hidden."""
        if not self.rules:
            return False
        path = same_path(path)
        if path == "." or is_outside(path):
            return False
        parts = path.split("/")
        folders = ("/".join(parts[:depth]) + "/" for depth in range(1, len(parts)))
        return any(self._match(place) for place in (*folders, path))

    def hidden_argument(self, command: str) -> str | None:
        """Return the first hidden file that a reading command names, or None."""
        words = _BLANKS.split(trim(command))
        if words[0].lower() not in _READERS:
            return None
        files = (word for word in words[1:] if not word.startswith(("-", "/")) and ":" not in word)
        return next(filter(self.hide, files), None)

    def _match(self, place: str) -> bool:
        hidden = False
        for rule in self.rules:
            if rule.shows == hidden and rule.pattern.search(place):
                hidden = not rule.shows
        return hidden


@lru_cache(maxsize=64)
def ignore_rules(text: str | None) -> IgnoreRules:
    """Return the rules of a `.rooignore` of this text, which hides itself; None or empty text is no rule at all."""
    if not text:
        return IgnoreRules()
    lines = re.split(r"\r?\n", text)
    return IgnoreRules(tuple(_rule(line) for line in (*lines, IGNORE_FILE) if _is_rule(line)))


def _is_rule(line: str) -> bool:
    return bool(line) and not (_BLANKS.fullmatch(line) or _LOOSE_BACKSLASH.search(line) or line.startswith("#"))


def _rule(line: str) -> _Rule:
    shows = line.startswith("!")
    body = line[1:] if shows else line
    if body.startswith(("\\!", "\\#")):
        body = body[1:]
    # A mark without a pattern takes everything back.
    return _Rule(shows, re.compile(_expression(body) if body else "", re.IGNORECASE))


def _expression(body: str) -> str:
    anchored = _INNER_SLASH.search(body) is not None
    body = _ENDING_BLANKS.sub(lambda found: found[1] + (" " if found[2] else ""), body.removeprefix("\ufeff"))
    if leading := _ANY_FOLDERS.match(body):
        start, body = r"\A(?:.*/)?", body[leading.end() :]
    else:
        start = r"\A" if anchored or body.startswith("/") else r"(?:\A|/)"
        body = body.removeprefix("/")
    inside = "".join(_parts(body))
    if body.endswith("*") and not body.endswith("/**"):
        return start + inside
    return f"{start}{inside}" + (r"\Z" if body.endswith("/") else _ENDS)


def _parts(body: str) -> Iterator[str]:
    for found in _TOKEN.finditer(body):
        yield _part(found[0], found.end() == len(body), found.start() > 0 and body[found.start() - 1] == "/")


def _part(token: str, is_last: bool, follows_slash: bool) -> str:
    if token == "/**":
        return "/.+" if is_last else "(?:/[^/]+)*"
    if token.startswith("*") and not is_last:
        return "[^/]*"
    # That library reads even an escaped star as a wildcard when it comes last.
    if token.startswith("*") or (token == "\\*" and is_last):
        return f"[^/]{'*' if token.startswith('**') or not follows_slash else '+'}{_ENDS}"
    if token == "?":
        return "[^/]"
    if token.startswith("["):
        return _class(token)
    if token == "\\?":
        return _NEVER
    return re.escape(token[-1])


def _class(token: str) -> str:
    members = _RANGE.sub(lambda found: found[0] if found[1] <= found[2] else "", token[1:-1])
    if not token.endswith("]") or not members:
        return _NEVER
    escaped = _SPECIAL.sub(r"\\\g<0>", members)
    try:
        re.compile(f"[{escaped}]")
    except re.error:
        return _NEVER
    return f"[{escaped}]"
