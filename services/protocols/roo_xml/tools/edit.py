"""Tools that change a file: `apply_diff`, `write_to_file` and, in the classic client alone, `insert_content`."""

import math
import re
from collections.abc import Callable
from dataclasses import replace

from services.protocols.javascript.text import SPACES, trim
from services.protocols.roo.diff.apply import DiffOutcome, apply_diff
from services.protocols.roo.diff.blocks import form_problem
from services.protocols.roo.normal_forms import decoded, decoded_for, plain_path, written_text
from services.protocols.roo.workspace import numbered
from services.protocols.roo_xml.tools.tool import (
    Argument,
    Call,
    Counter,
    Params,
    Problem,
    Reply,
    Result,
    Tool,
    failed,
    leading_number,
    missing,
    mistake,
)
from services.protocols.turn import ClientState
from services.protocols.verdict import Fault

_NOTICES = ("The file now stands as you wrote it; it need not be read again.", "Go on with the next step.")


def writer(call: Call, text: str, remarks: str = "") -> Callable[[], Reply]:
    """Return what writes `text` to the call's path and returns what the model hears of it."""

    def write() -> Reply:
        path = call.path
        operation = "modified" if path in call.state.files or path in call.state.paths else "created"
        call.state.files[path] = text
        return lambda: _reply(path, operation, remarks)

    return write


def _reply(path: str, operation: str, remarks: str) -> str:
    notices = "\n".join(f"<i>{notice}</i>" for notice in _NOTICES)
    result = f"<path>{path}</path>\n<operation>{operation}</operation>\n<notice>\n{notices}\n</notice>"
    return f"<file_write_result>\n{result}\n</file_write_result>{remarks}"


def hidden_file(call: Call) -> Result:
    """Return the result of a call that touches a file that is kept from the model."""
    path = call.params["path"]
    return failed("ignored_file", f"{path} is kept from you by .rooignore; go on without it, or ask the user.")


def folder(call: Call, counter: Counter) -> Result:
    """Return the result of a call that takes a folder for a file."""
    return failed("is_directory", f"{call.path} is a folder, not a file.", counter)


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
_FORM = (
    "A block is written like this:\n<<<<<<< SEARCH\n:start_line:12\n-------\nold lines\n=======\nnew lines\n"
    ">>>>>>> REPLACE"
)


def _apply(call: Call) -> Result:
    if call.rules.hide(call.params["path"]):
        return hidden_file(call)
    original = call.state.files.get(call.path)
    if original is None:
        if call.names_folder:
            return folder(call, "keep")
        if call.path in call.state.paths:
            return call.offered(lambda: lambda: f"{call.path} was changed.")
        sentence = f"There is no file {call.path}. Check the path, or list the folder first."
        return mistake("file_not_found", sentence, fails_turn=True)
    diff = decoded_for(call.state.model_id, call.params["diff"])
    outcome = apply_diff(original, diff, threshold=call.state.fuzzy_threshold)
    if outcome.content is None:
        code = outcome.failed[-1].fault if outcome.failed else outcome.fault or ""
        return Result("failed", (code,), lambda: _why_not(call, original, diff, code), "mistake", True)
    result = call.offered(writer(call, outcome.content, _remarks(diff, outcome)))
    if outcome.failed and not result.is_denied:
        return Result(result.verdict, ("some_parts_failed",), result.reply, result.counter)
    return result


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
        details.append(_FORM)
    return f"The diff does not apply to {call.path}.\n\n<error_details>\n" + "\n".join(details) + "\n</error_details>"


def _around(text: str, line: int) -> str:
    lines = text.removesuffix("\n").split("\n")
    centre = min(max(line, 1), len(lines))
    first = max(1, centre - _SHOWN_AROUND)
    return numbered("\n".join(lines[first - 1 : centre + _SHOWN_AROUND]), first)


def _diff_problem(params: Params, state: ClientState) -> Problem | None:
    problem = form_problem(decoded(trim(params["diff"])))
    return (Fault.DIFF_FORM, problem) if problem else None


APPLY_DIFF = Tool(
    name="apply_diff",
    run=_apply,
    required=("path", "diff"),
    group="edit",
    is_drilled=True,
    filled=("path", "diff"),
    arguments={"path": Argument(normal=plain_path), "diff": Argument(by_effect=True)},
    problem=_diff_problem,
    title="path",
)


_COMMENT = re.compile(rf"[{SPACES}]*(?://|#|/\*|\{{[{SPACES}]*/\*|<!--|\[)")
_OMISSION_WORDS = frozenset(
    ("remain", "remains", "unchanged", "rest", "previous", "existing", "content", "same", "...")
)
_MIN_COUNTED_LINES = 100
_MAX_SHARE = 0.8


def _write(call: Call) -> Result:
    if call.edition.is_classic and "content" not in call.params:
        return missing(call, "content")
    if call.rules.hide(call.params["path"]):
        return hidden_file(call)
    if call.names_folder:
        return folder(call, "reset")
    text = written_text(call.params.get("content", ""), call.state.model_id)
    if call.edition.is_classic and _is_shortened(call, text):
        sentence = "The content seems to leave parts of the file out; write all of it."
        return failed("truncated_content", sentence, "reset")
    return call.offered(writer(call, text))


def _is_shortened(call: Call, text: str) -> bool:
    counted = leading_number(call.params.get("line_count", ""))
    lines = text.split("\n")
    if not counted >= _MIN_COUNTED_LINES or len(lines) / counted > _MAX_SHARE:
        return False
    before = set(call.state.files.get(call.path, "").split("\n"))
    return any(
        _COMMENT.match(line) and line not in before and not _OMISSION_WORDS.isdisjoint(line.lower().split())
        for line in lines
    )


WRITE_TO_FILE = Tool(
    name="write_to_file",
    run=_write,
    required=("path",),
    demanded=("content",),
    group="edit",
    is_drilled=True,
    filled=("path",),
    arguments={"path": Argument(normal=plain_path), "content": Argument(by_effect=True)},
    title="path",
)
CLASSIC_WRITE_TO_FILE = replace(WRITE_TO_FILE, required=("path", "content"), demanded=("line_count",))


def _insert(call: Call) -> Result:
    if "content" not in call.params:
        return missing(call, "content")
    if call.rules.hide(call.params["path"]):
        return hidden_file(call)
    line = leading_number(call.params["line"])
    if math.isnan(line) or line < 0:
        return mistake("bad_line", f"line is {call.params['line']!r}, not a number from 0 on.")
    if call.names_folder:
        return folder(call, "keep")
    original = call.state.files.get(call.path)
    if original is None and line > 1:
        return mistake("file_not_found", f"{call.path} does not exist, so line must be 0 or 1.")
    lines = [] if original is None else original.split("\n")
    # Zero counts back from the end: the last line, normally the empty one behind the last line break, stays last.
    place = max(len(lines) - 1, 0) if line == 0 else int(min(line - 1, len(lines)))
    lines[place:place] = call.params["content"].split("\n")
    return call.offered(writer(call, "\n".join(lines)))


INSERT_CONTENT = Tool(
    name="insert_content",
    run=_insert,
    required=("path", "line", "content"),
    group="edit",
    filled=("path", "line"),
    arguments={"path": Argument(normal=plain_path)},
    title="path",
)
