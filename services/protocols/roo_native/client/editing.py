"""Calls that change files."""

from __future__ import annotations

import math
from collections.abc import Callable

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
        return _without_text(call, path, fails_turn=True)
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


def _without_text(call: Call, path: str, *, fails_turn: bool = False) -> Result:
    """Return the result of an edit of a file whose text is not known, or that does not exist."""
    if is_known_folder(call.state, same_path(path)):
        return _is_folder(path, "keep")
    if call.exists(path):
        return call.offered(lambda: f"{path} was changed.")
    sentence = f"There is no file {path}. Check the path, or list the folder first."
    return failed("file_not_found", sentence, "mistake", records_failure=True, fails_turn=fails_turn)


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
    path, old, new = (call.text(name) for name in ("file_path", "old_string", "new_string"))
    if call.arguments["old_string"] == call.arguments.get("new_string"):
        return failed("identical", _HINTS["identical"], "mistake", records_failure=True)
    if path is None or old is None or new is None:
        return wrong_type(call, next(name for name in call.arguments if call.text(name) is None))
    if call.rules.hide(path):
        return hidden(path)
    original = call.state.files.get(same_path(path))
    if original is None:
        return _without_text(call, path)
    try:
        text = change(original, old, new)
    except EditError as bad:
        return failed(bad.code, f"{bad} ({path}).", "mistake", records_failure=True)
    if text == original:
        return Result("accepted", (), f"Nothing had to be changed in {path}.")
    return call.offered(writer(call, path, text))


def edit_file(call: Call) -> Result:
    """Replace a string, blanks aside if need be, or create a file; whatever goes wrong fails the turn."""
    if lacking := call.lacks("file_path"):
        return missing(call, lacking, fails_turn=True)
    path, old, new = call.text("file_path"), call.text("old_string") or "", call.text("new_string") or ""
    if path is None:
        return failed("bad_value", "file_path of edit_file must be text.", fails_turn=True)
    if call.rules.hide(path):
        return hidden(path, fails_turn=True)
    original = call.state.files.get(same_path(path))
    if original is None:
        return _create(call, path, old, new)
    if not old:
        sentence = f"{path} exists already; an empty old_string is only for new files."
        return failed("file_exists", sentence, "mistake", records_failure=True, fails_turn=True)
    try:
        text = tolerantly_edited(original, old, new, _expected(call))
    except EditError as bad:
        return failed(bad.code, f"{bad} ({path}).", "mistake", records_failure=True, fails_turn=True)
    if text == original:
        return Result("accepted", (), f"Nothing had to be changed in {path}.", "reset")
    return call.offered(writer(call, path, text))


def _expected(call: Call) -> float:
    wanted = call.arguments.get("expected_replacements")
    number = 1.0 if wanted is None else number_of(wanted)
    return number if math.isnan(number) else max(1.0, number)


def _create(call: Call, path: str, old: str, new: str) -> Result:
    if is_known_folder(call.state, same_path(path)):
        sentence = f"{path} is a folder, not a file."
        return failed("is_directory", sentence, "mistake", records_failure=True, fails_turn=True)
    if old or call.exists(path):
        return _without_text(call, path, fails_turn=True)
    return call.offered(writer(call, path, new))
