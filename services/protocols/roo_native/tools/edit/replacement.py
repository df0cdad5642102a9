"""`edit`, `search_replace` and `edit_file`: a string replaced."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from services.protocols.roo.normal_forms import plain_path, same_path
from services.protocols.roo_native.parse.values import number_of, optional_boolean
from services.protocols.roo_native.tools.edit.files import absent_file, folder_fault, writer
from services.protocols.roo_native.tools.edit.loose_match import loose_matches
from services.protocols.roo_native.tools.tool import Argument, Call, Result, Tool, mistake

EditCode = Literal["identical", "no_match", "several_matches", "count_mismatch"]

REPLACED_STRING = {
    "file_path": Argument("present", normal=plain_path),
    "old_string": Argument("present", by_effect=True),
    "new_string": Argument("present", by_effect=True),
}


class EditError(ValueError):
    """The string is not there, or not as often as it must be.

    Attributes:
        code: the reason.
        count: how often it is there.
    """

    def __init__(self, code: EditCode, problem: str, count: int = 0) -> None:
        super().__init__(problem)
        self.code = code
        self.count = count


def with_lf(text: str) -> str:
    """Return `text` with line feeds for line breaks."""
    return text.replace("\r\n", "\n")


def with_ending_of(original: str, text: str) -> str:
    """Return `text` with the line breaks of `original`."""
    return text.replace("\n", "\r\n") if "\r\n" in original else text


def check_count(count: int, *, several: bool = False) -> None:
    """Raise EditError when the string is not there, or more than once though `several` is not meant."""
    if not count:
        raise EditError("no_match", "old_string is not in the file")
    if count > 1 and not several:
        raise EditError("several_matches", f"old_string is in the file {count} times", count)


def replaced(call: Call, do: Callable[[], str]) -> Result:
    """Return the result of a replacement that passed its checks; where the user allows it, it counts twice."""
    result = call.offered(do)
    return replace(result, counts_twice=not result.is_denied)


def replace_in_file(call: Call, change: Callable[[str, str, str], str]) -> Result:
    """Return the result of a call that replaces a string by `change`, from the file's text, old and new string."""
    if _is_same(call.arguments["old_string"], call.arguments.get("new_string")):
        return mistake("identical", "The search text and its replacement are the same, so nothing would change.")
    path = call.text("file_path")
    call.check_not_hidden(path)
    original = call.state.files.get(same_path(path))
    if original is None and (fault := folder_fault(call, path, "mistake")):
        return fault
    if original is None and not call.exists(path):
        return absent_file(path)
    # Only now does the client take the values for text.
    old, new = call.text("old_string"), call.text("new_string")
    if original is None:
        return replaced(call, lambda: f"{path} was changed.")
    try:
        text = change(original, old, new)
    except EditError as bad:
        return mistake(bad.code, f"{bad} ({path}).")
    if text == original:
        return Result("accepted", (), f"Nothing had to be changed in {path}.")
    return replaced(call, writer(call, path, text))


def _is_same(old: object, new: object) -> bool:
    if isinstance(old, str | bool) or isinstance(new, bool):
        return type(old) is type(new) and old == new
    return isinstance(old, int | float) and old == new


def edited(text: str, old: str, new: str, *, replace_all: bool) -> str:
    """Return `text` with `old` replaced by `new`: its one occurrence, or every one; the file's line breaks are kept.

    Raises:
        EditError: `old` is not there, or more than once without `replace_all`.
    """
    before, searched = with_lf(text), with_lf(old)
    check_count(before.count(searched), several=replace_all)
    return with_ending_of(text, before.replace(searched, with_lf(new)))


def _edit(call: Call) -> Result:
    replace_all = call.arguments.get("replace_all") is True
    return replace_in_file(call, lambda text, old, new: edited(text, old, new, replace_all=replace_all))


EDIT = Tool(
    name="edit",
    run=_edit,
    arguments={**REPLACED_STRING, "replace_all": Argument(convert=optional_boolean, by_effect=True)},
    group="edit",
    use="opt_in",
    alias="search_and_replace",
    filled=("file_path", "old_string"),
)


_SUBSTITUTION = re.compile(r"\$[$&`']")


def search_replaced(text: str, old: str, new: str) -> str:
    """Return `text` with the one occurrence of `old` replaced by `new`, in which `$$`, `$&`, `` $` `` and `$'` count.

    Raises:
        EditError: `old` is not there, or more than once.
    """
    before, searched = with_lf(text), with_lf(old)
    check_count(before.count(searched))
    head, _, tail = before.partition(searched)
    values = {"$$": "$", "$&": searched, "$`": head, "$'": tail}
    return with_ending_of(text, head + _SUBSTITUTION.sub(lambda match: values[match[0]], with_lf(new)) + tail)


SEARCH_REPLACE = Tool(
    name="search_replace",
    run=lambda call: replace_in_file(call, search_replaced),
    arguments=REPLACED_STRING,
    group="edit",
    use="opt_in",
    filled=("file_path", "old_string"),
)


def tolerantly_edited(text: str, old: str, new: str, expected: float) -> str:
    """Return `text` with `expected` occurrences of `old` replaced by `new`.

    The occurrences are those of the exact string if they are as many as expected, else those that differ in blanks
    only, else those of the same words with any blanks between them.

    Raises:
        EditError: old and new are equal, or no way of looking finds as many as expected.
    """
    before, searched, replacement = with_lf(text), with_lf(old), with_lf(new)
    if searched == replacement:
        raise EditError("identical", "old_string and new_string are equal")
    counts = [before.count(searched)]
    if counts[0] == expected:
        return with_ending_of(text, before.replace(searched, replacement))
    for is_any_blank in (False, True):
        spans = loose_matches(before, searched, is_any_blank=is_any_blank)
        if len(spans) == expected:
            return with_ending_of(text, _replaced(before, spans, replacement))
        counts.append(len(spans))
    if not any(counts):
        raise EditError("no_match", "old_string is not in the file, not even with other blanks")
    raise EditError("count_mismatch", f"old_string is in the file {max(counts)} times, not {expected:g}", max(counts))


def _replaced(text: str, spans: Sequence[tuple[int, int]], replacement: str) -> str:
    starts, ends = [0, *(end for _, end in spans)], [*(start for start, _ in spans), len(text)]
    return replacement.join(text[start:end] for start, end in zip(starts, ends, strict=True))


def _edit_file(call: Call) -> Result:
    path = call.text("file_path", fails_turn=True)
    old, new = call.text_or("old_string", ""), call.text_or("new_string", "")
    call.check_not_hidden(path, fails_turn=True)
    original = call.state.files.get(same_path(path))
    if original is None:
        return _edit_unseen(call, path, old, new)
    if not old:
        return _exists(path)
    count = call.arguments.get("expected_replacements")
    expected = 1.0 if count is None else number_of(count)
    try:
        # `Math.max` makes NaN of NaN.
        text = tolerantly_edited(original, old, new, expected if math.isnan(expected) else max(1.0, expected))
    except EditError as bad:
        return mistake(bad.code, f"{bad} ({path}).", fails_turn=True)
    if text == original:
        return Result("accepted", (), f"Nothing had to be changed in {path}.", "reset")
    return replaced(call, writer(call, path, text))


def _exists(path: str) -> Result:
    sentence = f"{path} exists already; an empty old_string is only for new files."
    return mistake("file_exists", sentence, fails_turn=True)


def _edit_unseen(call: Call, path: str, old: str, new: str) -> Result:
    if fault := folder_fault(call, path, "mistake", fails_turn=True):
        return fault
    if call.exists(path):
        return replaced(call, lambda: f"{path} was changed.") if old else _exists(path)
    return absent_file(path, fails_turn=True) if old else replaced(call, writer(call, path, new))


EDIT_FILE = Tool(
    name="edit_file",
    run=_edit_file,
    arguments={**REPLACED_STRING, "expected_replacements": Argument(by_effect=True)},
    group="edit",
    use="opt_in",
    filled=("file_path",),
    lack_fails_turn=True,
)
