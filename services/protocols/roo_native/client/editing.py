"""Calls that change files."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from services.protocols.roo.diff.apply import DiffOutcome, apply_diff
from services.protocols.roo.file_text import decoded_for, written_text
from services.protocols.roo.paths import same_path
from services.protocols.roo.workspace import is_known_folder
from services.protocols.roo_native.client.call import Call, Counter, Result, failed, hidden, missing, wrong_type
from services.protocols.roo_native.editing.replacement import EditError, edited, search_replaced, tolerantly_edited
from services.protocols.roo_native.parse.values import number_of, write_json

_HINTS = {
    "stray_marker": "A line looks like a marker but is not the one that is due; put a backslash in front of such text.",
    "marker_order": "A marker line stands in the wrong place.",
    "line_marker_in_replace": "A line number marker stands behind the separator; it belongs to the search part only.",
    "unfinished_block": "The diff ends inside a block.",
    "no_block": "The diff holds no complete block.",
    "no_match": "The search text was not found in the file.",
    "identical": "The search text and its replacement are the same, so nothing would change.",
    "empty_search": "The search text is empty.",
}


def write_to_file(call: Call) -> Result:
    """Write a whole file."""
    if lacking := call.lacks("path"):
        return missing(call, lacking)
    path, content = call.text("path"), call.text("content")
    if path is None:
        return wrong_type(call, "path")
    if call.rules.hide(path):
        return hidden(path)
    if content is None:
        return wrong_type(call, "content")
    if is_known_folder(call.state, same_path(path)):
        return _is_folder(path, "reset")
    return call.offered(writer(call, path, written_text(content, call.state.model_id)))


def writer(call: Call, path: str, text: str, remark: str = "") -> Callable[[], str]:
    """Return what writes `text` to `path` and returns what the model hears of it."""

    def write() -> str:
        place = same_path(path)
        operation = "modified" if place in call.state.files or call.exists(path) else "created"
        call.state.files[place] = text
        notice = "The file is saved; read it again only if you need its text as it is now."
        return write_json({"path": path, "operation": operation, "notice": notice}) + remark

    return write


def _is_folder(path: str, counter: Counter) -> Result:
    return failed("is_directory", f"{path} is a folder, not a file.", counter)


def apply_diff_call(call: Call) -> Result:
    """Put the blocks of a diff into a file; one block that fits is enough."""
    diff = call.text("diff")
    if not call.lacks("diff") and diff is None:
        return wrong_type(call, "diff")
    if lacking := call.lacks("path", "diff"):
        return missing(call, lacking)
    path = call.text("path")
    if path is None or diff is None:
        return wrong_type(call, "path")
    if call.rules.hide(path):
        return hidden(path)
    original = call.state.files.get(same_path(path))
    if original is None:
        return _diff_without_text(call, path)
    diff = decoded_for(call.state.model_id, diff)
    outcome = apply_diff(original, diff)
    if outcome.content is None:
        code = outcome.failed[-1].fault if outcome.failed else outcome.fault or ""
        sentence = f"The diff cannot be applied to {path}. {_HINTS[code]} Read the file again before the next try."
        return failed(code, sentence, "mistake", records_failure=True)
    codes = ("some_parts_failed",) if outcome.failed else ()
    return call.offered(writer(call, path, outcome.content, _remarks(outcome)), "reset", *codes)


def _remarks(outcome: DiffOutcome) -> str:
    remark = ""
    if outcome.failed:
        remark = f"\n{len(outcome.failed)} of {len(outcome.blocks)} blocks could not be applied; read the file again."
    if len(outcome.blocks) == 1:
        remark += "\n<notice>Several changes to one file fit into one diff, a block each.</notice>"
    return remark


def _diff_without_text(call: Call, path: str) -> Result:
    """Return the result of a diff for a file whose text is not known, or that does not exist."""
    if is_known_folder(call.state, same_path(path)):
        return _is_folder(path, "keep")
    return call.offered(_unseen(path)) if call.exists(path) else _absent(path, fails_turn=True)


def _unseen(path: str) -> Callable[[], str]:
    return lambda: f"{path} was changed."


def _absent(path: str, *, fails_turn: bool = False) -> Result:
    sentence = f"There is no file {path}. Check the path, or list the folder first."
    return failed("file_not_found", sentence, "mistake", records_failure=True, fails_turn=fails_turn)


def _fault_of_place(call: Call, path: str, *, fails_turn: bool = False) -> Result | None:
    """Return why a replacement finds no file to read at `path`, or None when there is one."""
    if is_known_folder(call.state, same_path(path)):
        sentence = f"{path} is a folder, not a file."
        return failed("is_directory", sentence, "mistake", records_failure=True, fails_turn=fails_turn)
    return None if call.exists(path) else _absent(path, fails_turn=fails_turn)


def _replaced(call: Call, do: Callable[[], str]) -> Result:
    """Return the result of a replacement that passed its checks; where the user allows it, it counts twice."""
    result = call.offered(do)
    return replace(result, counts_twice=not result.is_denied)


def edit(call: Call) -> Result:
    """Replace a string: its one occurrence, or every one."""
    replace_all = call.arguments.get("replace_all") is True
    return _replace(call, lambda text, old, new: edited(text, old, new, replace_all=replace_all))


def search_replace(call: Call) -> Result:
    """Replace the one occurrence of a string."""
    return _replace(call, search_replaced)


def _replace(call: Call, change: Callable[[str, str, str], str]) -> Result:
    if lacking := call.lacks("file_path", "old_string"):
        return missing(call, lacking)
    if _is_same(call.arguments["old_string"], call.arguments.get("new_string")):
        return failed("identical", _HINTS["identical"], "mistake", records_failure=True)
    path = call.text("file_path")
    if path is None:
        return wrong_type(call, "file_path")
    if call.rules.hide(path):
        return hidden(path)
    original = call.state.files.get(same_path(path))
    if original is None and (fault := _fault_of_place(call, path)):
        return fault
    return _replace_in(call, path, original, change)


def _replace_in(call: Call, path: str, original: str | None, change: Callable[[str, str, str], str]) -> Result:
    """Replace a string in a file that is there; only now does the client take the values for text."""
    old, new = call.text("old_string"), call.text("new_string")
    if old is None or new is None:
        return wrong_type(call, "old_string" if old is None else "new_string")
    if original is None:
        return _replaced(call, _unseen(path))
    try:
        text = change(original, old, new)
    except EditError as bad:
        return failed(bad.code, f"{bad} ({path}).", "mistake", records_failure=True)
    if text == original:
        return Result("accepted", (), f"Nothing had to be changed in {path}.")
    return _replaced(call, writer(call, path, text))


def _is_same(one: object, other: object) -> bool:
    """Return whether the client's `===` holds: lists and objects of two arguments never are the same."""
    if isinstance(one, str | bool) or isinstance(other, bool):
        return type(one) is type(other) and one == other
    return isinstance(one, int | float) and one == other


def edit_file(call: Call) -> Result:
    """Replace a string, blanks aside if need be, or create a file; whatever goes wrong fails the turn."""
    if lacking := call.lacks("file_path"):
        return missing(call, lacking, fails_turn=True)
    path, old, new = call.text("file_path"), call.text("old_string") or "", call.text("new_string") or ""
    if path is None:
        return wrong_type(call, "file_path", fails_turn=True)
    if call.rules.hide(path):
        return hidden(path, fails_turn=True)
    original = call.state.files.get(same_path(path))
    if original is None:
        return _edit_unseen(call, path, old, new)
    if not old:
        return _exists(path)
    try:
        text = tolerantly_edited(original, old, new, _expected(call))
    except EditError as bad:
        return failed(bad.code, f"{bad} ({path}).", "mistake", records_failure=True, fails_turn=True)
    if text == original:
        return Result("accepted", (), f"Nothing had to be changed in {path}.", "reset")
    return _replaced(call, writer(call, path, text))


def _exists(path: str) -> Result:
    sentence = f"{path} exists already; an empty old_string is only for new files."
    return failed("file_exists", sentence, "mistake", records_failure=True, fails_turn=True)


def _edit_unseen(call: Call, path: str, old: str, new: str) -> Result:
    """Create a file, or change one whose text is not known."""
    fault = _fault_of_place(call, path, fails_turn=True)
    if fault is None:
        return _replaced(call, _unseen(path)) if old else _exists(path)
    if old or fault.codes != ("file_not_found",):
        return fault
    return _replaced(call, writer(call, path, new))


def _expected(call: Call) -> float:
    wanted = call.arguments.get("expected_replacements")
    number = 1.0 if wanted is None else number_of(wanted)
    return number if math.isnan(number) else max(1.0, number)
