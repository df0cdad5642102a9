"""Replaces a string in a text, as `edit`, `search_replace` and `edit_file` do it."""

from __future__ import annotations

import re
from typing import Literal

from services.protocols.javascript import SPACE_CLASS as S
from services.protocols.javascript import SPACES

EditCode = Literal["identical", "no_match", "several_matches", "count_mismatch"]

_RUNS = re.compile(f"{S}+|[^{SPACES}]+")
_NEVER = "(?!)"
_SUBSTITUTION = re.compile(r"\$[$&`']")


class EditError(ValueError):
    """The string is not there, or not as often as it must be.

    Attributes:
        code: the reason.
        count: how often it was found.
    """

    def __init__(self, code: EditCode, problem: str, count: int = 0) -> None:
        super().__init__(problem)
        self.code = code
        self.count = count


def _with_lf(text: str) -> str:
    return text.replace("\r\n", "\n")


def _with_ending_of(original: str, text: str) -> str:
    return text.replace("\n", "\r\n") if "\r\n" in original else text


def edited(text: str, old: str, new: str, *, replace_all: bool) -> str:
    """Return `text` with `old` replaced by `new`: its one occurrence, or every one; the file's line breaks are kept.

    Raises:
        EditError: `old` is not there, or more than once without `replace_all`.
    """
    before, wanted = _with_lf(text), _with_lf(old)
    _check_count(before.count(wanted), several=replace_all)
    return _with_ending_of(text, before.replace(wanted, _with_lf(new)))


def search_replaced(text: str, old: str, new: str) -> str:
    """Return `text` with the one occurrence of `old` replaced by `new`, in which `$$`, `$&`, `` $` `` and `$'` count.

    Raises:
        EditError: `old` is not there, or more than once.
    """
    before, wanted = _with_lf(text), _with_lf(old)
    _check_count(before.count(wanted), several=False)
    head, _, tail = before.partition(wanted)
    values = {"$$": "$", "$&": wanted, "$`": head, "$'": tail}
    return _with_ending_of(text, head + _SUBSTITUTION.sub(lambda found: values[found[0]], _with_lf(new)) + tail)


def _check_count(count: int, *, several: bool) -> None:
    if not count:
        raise EditError("no_match", "old_string is not in the file")
    if count > 1 and not several:
        raise EditError("several_matches", f"old_string is in the file {count} times", count)


def tolerantly_edited(text: str, old: str, new: str, expected: float) -> str:
    """Return `text` with `expected` occurrences of `old` replaced by `new`.

    The occurrences are those of the exact string if they are as many as expected, else those that differ in blanks
    only, else those of the same words with any blanks between them.

    Raises:
        EditError: old and new are equal, or no way of looking finds as many as expected.
    """
    before, wanted, replacement = _with_lf(text), _with_lf(old), _with_lf(new)
    if wanted == replacement:
        raise EditError("identical", "old_string and new_string are equal")
    counts = []
    for expression in (re.escape(wanted), _with_any_blanks(wanted), _words(wanted)):
        changed, count = re.subn(expression, lambda _: replacement, before)
        if count == expected:
            return _with_ending_of(text, changed)
        counts.append(count)
    if not any(counts):
        raise EditError("no_match", "old_string is not in the file, not even with other blanks")
    raise EditError("count_mismatch", f"old_string is in the file {max(counts)} times, not {expected:g}", max(counts))


def _with_any_blanks(text: str) -> str:
    return "".join(_run(run) for run in _RUNS.findall(text))


def _run(run: str) -> str:
    if run[0] not in SPACES:
        return re.escape(run)
    return f"{S}+" if "\n" in run else "[\t ]+"


def _words(text: str) -> str:
    words = [re.escape(run) for run in _RUNS.findall(text) if run[0] not in SPACES]
    return f"{S}+".join(words) or _NEVER
