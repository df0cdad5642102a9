"""Calls that change files."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from services.protocols.javascript import SPACES
from services.protocols.roo.diff.apply import DiffOutcome, apply_diff
from services.protocols.roo.file_text import decoded_for, written_text
from services.protocols.roo.workspace import numbered
from services.protocols.roo_xml.arguments import leading_number
from services.protocols.roo_xml.client.call import Call, Counter, Reply, Result, error, failed, missing

_COMMENT = re.compile(rf"[{SPACES}]*(?://|#|/\*|\{{[{SPACES}]*/\*|<!--|\[)")
_OMISSION_WORDS = frozenset(
    ("remain", "remains", "unchanged", "rest", "previous", "existing", "content", "same", "...")
)
_MIN_COUNTED_LINES = 100
_MAX_SHARE = 0.8
_SHOWN_AROUND = 3

_HINTS = {
    "stray_marker": "A line looks like a marker but is not the one that is due here. "
    "Put a backslash in front of such a line when it belongs to the text.",
    "marker_order": "A marker line stands in the wrong place.",
    "line_marker_in_replace": "A line number marker stands behind the separator; it belongs to the search part only.",
    "unfinished_block": "The diff ends inside a block.",
    "no_block": "The diff holds no complete block.",
    "no_match": "The search text was not found in the file.",
    "identical": "The search text and its replacement are the same, so nothing would change.",
    "empty_search": "The search text is empty.",
}
_DIFF_FORM = (
    "A block is written like this:\n<<<<<<< SEARCH\n:start_line:12\n-------\nold lines\n=======\nnew lines\n"
    ">>>>>>> REPLACE"
)


def write_to_file(call: Call) -> Result:
    """Write a whole file; the reference client takes absent content for empty content."""
    if lacking := call.lacks("path"):
        return missing(call, lacking)
    if call.edition.is_classic and "content" not in call.params:
        return missing(call, "content")
    if call.rules.hide(call.params["path"]):
        return _hidden(call)
    if call.names_folder:
        return _is_folder(call, "reset")
    text = written_text(call.params.get("content", ""), call.state.model_id)
    if call.edition.is_classic and _is_shortened(call, text):
        return failed(
            "truncated_content", "The content seems to leave parts of the file out; write all of it.", "reset"
        )
    return call.offered(_write(call, text))


def insert_content(call: Call) -> Result:
    """Insert lines before a line, or append them; the classic client only."""
    if lacking := call.lacks("path", "line") or ("content" if "content" not in call.params else None):
        return missing(call, lacking)
    if call.rules.hide(call.params["path"]):
        return _hidden(call)
    line = leading_number(call.params["line"])
    if math.isnan(line) or line < 0:
        sentence = f"line is {call.params['line']!r}, not a number from 0 on."
        return failed("bad_line", sentence, "mistake", records_failure=True)
    if call.names_folder:
        return _is_folder(call, "keep")
    original = call.state.files.get(call.path)
    if original is None and line > 1:
        sentence = f"{call.path} does not exist, so line must be 0 or 1."
        return failed("file_not_found", sentence, "mistake", records_failure=True)
    lines = [] if original is None else original.split("\n")
    # Zero counts back from the end: the last line, normally the empty one behind the last line break, stays last.
    place = max(len(lines) - 1, 0) if line == 0 else int(min(line - 1, len(lines)))
    lines[place:place] = call.params["content"].split("\n")
    return call.offered(_write(call, "\n".join(lines)))


def apply_diff_call(call: Call) -> Result:
    """Put the blocks of a diff into a file; one block that fits is enough."""
    if lacking := call.lacks("path", "diff"):
        return missing(call, lacking)
    if call.rules.hide(call.params["path"]):
        return _hidden(call)
    original = call.state.files.get(call.path)
    if original is None:
        return _without_text(call)
    diff = decoded_for(call.state.model_id, call.params["diff"])
    outcome = apply_diff(original, diff, threshold=call.state.fuzzy_threshold)
    if outcome.content is None:
        code = outcome.failed[-1].fault if outcome.failed else outcome.fault or ""
        return Result("failed", (code,), lambda: _why_not(call, original, diff, code), "mistake", records_failure=True)
    result = call.offered(_write(call, outcome.content, _remarks(diff, outcome)))
    if outcome.failed and not result.is_denied:
        return Result(result.verdict, ("some_parts_failed",), result.reply, result.counter)
    return result


def _without_text(call: Call) -> Result:
    if call.names_folder:
        return _is_folder(call, "keep")
    if call.path in call.state.paths:
        return call.offered(lambda: lambda: f"{call.path} was changed.")
    sentence = f"There is no file {call.path}. Check the path, or list the folder first."
    return failed("file_not_found", sentence, "mistake", records_failure=True, fails_turn=True)


def _hidden(call: Call) -> Result:
    path = call.params["path"]
    return failed("ignored_file", f"{path} is kept from you by .rooignore; go on without it, or ask the user.")


def _is_folder(call: Call, counter: Counter) -> Result:
    return failed("is_directory", f"{call.path} is a folder, not a file.", counter)


def _write(call: Call, text: str, remarks: str = "") -> Callable[[], Reply]:
    def do() -> Reply:
        path = call.path
        operation = "modified" if path in call.state.files or path in call.state.paths else "created"
        call.state.files[path] = text
        return lambda: _written(path, operation, remarks)

    return do


def _written(path: str, operation: str, remarks: str) -> str:
    notices = ("The file now stands as you wrote it; it need not be read again.", "Go on with the next step.")
    listed = "\n".join(f"<i>{notice}</i>" for notice in notices)
    result = f"<path>{path}</path>\n<operation>{operation}</operation>\n<notice>\n{listed}\n</notice>"
    return f"<file_write_result>\n{result}\n</file_write_result>{remarks}"


def _remarks(diff: str, outcome: DiffOutcome) -> str:
    remarks = ""
    if outcome.failed:
        remarks += "\nSome blocks did not fit. Read the file as it stands now and try those again."
    if diff.count("<<<<<<< SEARCH") == 1:
        remarks += "\n<notice>Several changes to one file may go into one call, a block each.</notice>"
    return remarks


def _why_not(call: Call, original: str, diff: str, code: str) -> str:
    details = [_HINTS[code]]
    if code == "no_match":
        outcome = apply_diff(original, diff, threshold=call.state.fuzzy_threshold, measure=True)
        best = next((block.similarity for block in reversed(outcome.failed) if block.similarity is not None), 0)
        start = next((block.start_line for block in reversed(outcome.blocks)), 0)
        details.append(f"The best place found is {best} % alike.")
        details.append(f"The file reads there:\n{_around(original, start)}")
    elif code not in ("identical", "empty_search"):
        details.append(_DIFF_FORM)
    return f"The diff does not apply to {call.path}.\n\n<error_details>\n" + "\n".join(details) + "\n</error_details>"


def _around(text: str, line: int) -> str:
    lines = text.removesuffix("\n").split("\n")
    centre = min(max(line, 1), len(lines))
    first = max(1, centre - _SHOWN_AROUND)
    return numbered("\n".join(lines[first - 1 : centre + _SHOWN_AROUND]), first)


def _is_shortened(call: Call, text: str) -> bool:
    """Return whether the text is shorter than the model counted and a new comment says that something is left out."""
    counted = leading_number(call.params.get("line_count", ""))
    lines = text.split("\n")
    if not counted >= _MIN_COUNTED_LINES or len(lines) / counted > _MAX_SHARE:
        return False
    known = set(call.state.files.get(call.path, "").split("\n"))
    return any(
        _COMMENT.match(line) and line not in known and not _OMISSION_WORDS.isdisjoint(line.lower().split())
        for line in lines
    )


def opted_out(call: Call) -> Result:
    """Refuse a tool that only an experiment brings; nothing is counted."""
    return Result(
        "failed", ("experiment_off",), lambda: error(f"{call.tool} is an experiment that is switched off here.")
    )
