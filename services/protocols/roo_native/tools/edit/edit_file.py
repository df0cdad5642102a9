"""`edit_file`: a string replaced, blanks aside if need be, or a file created; whatever goes wrong fails the turn."""

import math
from collections.abc import Sequence

from services.protocols.roo.paths import same_path
from services.protocols.roo_native.parse.values import number_of
from services.protocols.roo_native.tools.edit.file_changes import absent_file, folder_fault, writer
from services.protocols.roo_native.tools.edit.loose_match import loose_matches
from services.protocols.roo_native.tools.edit.replacement import (
    REPLACED_STRING,
    EditError,
    replaced,
    with_ending_of,
    with_lf,
)
from services.protocols.roo_native.tools.tool import Argument, Call, Result, Tool, mistake


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


def _edit(call: Call) -> Result:
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
    run=_edit,
    arguments={**REPLACED_STRING, "expected_replacements": Argument(by_effect=True)},
    group="edit",
    use="opt_in",
    filled=("file_path",),
    lack_fails_turn=True,
)
