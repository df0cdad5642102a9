r"""`.rooignore`: which paths the client keeps from the model.

The syntax is gitignore's in the dialect of the library that the client uses (npm's `ignore` 7.0), which makes an
ECMAScript expression of each rule: case does not count, a file below a hidden folder stays hidden whatever a later line
says, `[!a]` is no negation, and a backslash before a letter is the expression's (`\d`, `\w`, `\b`).

Every path meets every rule, so what a rule costs is bounded: one that looks around or refers to groups, which takes
tricks with backslashes to write, is taken for one that the client cannot read, and after MAX_RULES no line counts.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from services.protocols.javascript.patterns import Pattern, compiled
from services.protocols.javascript.text import SPACE_CLASS as S
from services.protocols.javascript.text import trim
from services.protocols.roo.normal_forms import is_outside, same_path

IGNORE_FILE = ".rooignore"
MAX_RULES = 1_000

_READERS = frozenset(
    (
        *("cat", "less", "more", "head", "tail", "grep", "awk", "sed"),
        *("get-content", "gc", "type", "select-string", "sls"),
    )
)
"""Commands that print the files that they are given."""

_BLANKS = re.compile(rf"{S}+")
_ENDING_BLANKS = re.compile(rf"(?<!\\)((?:\\\\)*)(\\?){S}+\Z")
_ESCAPED_BLANK = re.compile(rf"(\\+){S}")
_INNER_SLASH = re.compile(r"/(?!\Z)")
_LOOSE_BACKSLASH = re.compile(r"(?:[^\\]|\A)\\\Z")
# What a backslash stands before means what it means in an expression.
_TOKEN = re.compile(r"(?P<escaped>\\+[$.|*+(){^]?)|/\*\*(?=/|\Z)|\*+|[\s\S]")
_CLASS = re.compile(r"(\\?)\[([^\]/]*?)(\\*)(\Z|\])")
_RANGE = re.compile("([0-z])-([0-z])")
_ENDING_STAR = re.compile(r"(\\/)?\\\*\Z")

_ENDS = r"(?=$|\/$)"
_LINE_ENDS = "\n\r\u2028\u2029"


@dataclass(frozen=True, slots=True)
class _Rule:
    shows: bool
    pattern: Pattern | None


class _UnreadableRule(Exception):
    """The client's expression for a rule is none: it fails when a path comes to the rule, and shows that path."""


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
        try:
            return any(self._match(place) for place in (*folders, path))
        except _UnreadableRule:
            return False

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
            if rule.shows != hidden:
                continue
            if rule.pattern is None:
                raise _UnreadableRule
            if rule.pattern.search(place):
                hidden = not rule.shows
        return hidden


@lru_cache(maxsize=64)
def ignore_rules(text: str | None) -> IgnoreRules:
    """Return the rules of a `.rooignore` of this text, which hides itself; None or empty text is no rule at all."""
    if not text:
        return IgnoreRules()
    lines = re.split(r"\r?\n", text)[:MAX_RULES]
    return IgnoreRules(tuple(_rule(line) for line in (*lines, IGNORE_FILE) if _is_rule(line)))


def _is_rule(line: str) -> bool:
    return bool(line) and not (_BLANKS.fullmatch(line) or _LOOSE_BACKSLASH.search(line) or line.startswith("#"))


def _rule(line: str) -> _Rule:
    shows = line.startswith("!")
    body = line[1:] if shows else line
    if body.startswith(("\\!", "\\#")):
        body = body[1:]
    pattern = compiled(_expression(body), any_case=True)
    return _Rule(shows, pattern if pattern is not None and pattern.linear is not None else None)


def _expression(body: str) -> str:
    has_inner_slash = _INNER_SLASH.search(body) is not None
    body = _ENDING_BLANKS.sub(lambda blanks: blanks[1] + (" " if blanks[2] else ""), body.removeprefix("\ufeff"))
    if not body:
        # A mark and blanks are a rule for everything.
        return ""
    body = _ESCAPED_BLANK.sub(lambda blank: blank[1][len(blank[1]) % 2 :] + " ", body)
    start = "^" if has_inner_slash or body.startswith("/") else r"(?:^|\/)"
    rest = body.removeprefix("/")
    if rest.startswith("**/"):
        start, rest = r"^(?:.*\/)?", rest.removeprefix("**/")
    return _ended(_CLASS.sub(_read_class, start + "".join(_parts(rest))))


def _parts(body: str) -> Iterator[str]:
    for token in _TOKEN.finditer(body):
        yield token[0] if token["escaped"] else _part(token[0], body[token.end() : token.end() + 1])


def _part(token: str, next_char: str) -> str:
    if token == "/**":
        return r"(?:\/[^\/]+)*" if next_char else r"\/.+"
    if token.startswith("*"):
        if next_char and next_char not in _LINE_ENDS:
            return r"[^\/]*"
        return r"[^\/]*\*" if len(token) > 1 else r"\*"
    if token == "?":
        return "[^/]"
    return f"\\{token}" if token in "$.|+(){^/" else token


def _read_class(match: re.Match[str]) -> str:
    escape, members, backslashes, end = match.groups()
    is_closed = end == "]" and len(backslashes) % 2 == 0
    if escape:
        return f"\\[{members}{backslashes[len(backslashes) % 2 :]}{end}"
    if not is_closed:
        return "[]"
    members = _RANGE.sub(lambda ends: ends[0] if ends[1] <= ends[2] else "", members)
    return f"[{members}{backslashes}]"


def _ended(expression: str) -> str:
    if expression.endswith("*"):
        # The library reads even an escaped star as a wildcard when it comes last.
        return _ENDING_STAR.sub(lambda star: f"{star[1]}[^/]+{_ENDS}" if star[1] else f"[^/]*{_ENDS}", expression)
    return expression + ("$" if expression.endswith("/") else _ENDS)
