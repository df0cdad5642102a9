"""`apply_diff` and `write_to_file`, and what all tools that change files have in common."""

from collections.abc import Callable

from services.protocols.roo.diff.apply import DiffOutcome, apply_diff
from services.protocols.roo.diff.blocks import form_problem
from services.protocols.roo.normal_forms import decoded_for, plain_path, same_path, written_text
from services.protocols.roo.workspace import is_known_folder
from services.protocols.roo_native.parse.values import write_json
from services.protocols.roo_native.tools.tool import (
    Argument,
    Arguments,
    Call,
    Counter,
    Problem,
    Result,
    Tool,
    failed,
    missing,
    mistake,
)
from services.protocols.turn import ClientState
from services.protocols.verdict import Fault


def writer(call: Call, path: str, text: str, remark: str = "") -> Callable[[], str]:
    """Return what writes `text` to `path` and returns what the model hears of it."""

    def write() -> str:
        place = same_path(path)
        operation = "modified" if place in call.state.files or call.exists(path) else "created"
        call.state.files[place] = text
        notice = "The file is saved; read it again only if you need its text as it is now."
        return write_json({"path": path, "operation": operation, "notice": notice}) + remark

    return write


def folder_fault(call: Call, path: str, counter: Counter, *, fails_turn: bool = False) -> Result | None:
    """Return the result of a change to what is a folder; None when it is not one. A mistake is recorded."""
    if not is_known_folder(call.state, same_path(path)):
        return None
    sentence = f"{path} is a folder, not a file."
    return failed("is_directory", sentence, counter, records_failure=counter == "mistake", fails_turn=fails_turn)


def absent_file(path: str, *, fails_turn: bool = False) -> Result:
    """Return the result of a change to a file that does not exist."""
    sentence = f"There is no file {path}. Check the path, or list the folder first."
    return mistake("file_not_found", sentence, fails_turn=fails_turn)


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


def _apply(call: Call) -> Result:
    diff = "" if call.lacks("diff") else call.text("diff")
    if lacking := call.lacks("path", "diff"):
        return missing(call, lacking)
    path = call.text("path")
    call.check_not_hidden(path)
    original = call.state.files.get(same_path(path))
    if original is None:
        if fault := folder_fault(call, path, "keep"):
            return fault
        return call.offered(lambda: f"{path} was changed.") if call.exists(path) else absent_file(path, fails_turn=True)
    outcome = apply_diff(original, decoded_for(call.state.model_id, diff))
    if outcome.content is None:
        code = outcome.failed[-1].fault if outcome.failed else outcome.fault or ""
        sentence = f"The diff cannot be applied to {path}. {_HINTS[code]} Read the file again before the next try."
        return mistake(code, sentence)
    codes = ("some_parts_failed",) if outcome.failed else ()
    return call.offered(writer(call, path, outcome.content, _remarks(outcome)), "reset", *codes)


def _remarks(outcome: DiffOutcome) -> str:
    remark = ""
    if outcome.failed:
        remark = f"\n{len(outcome.failed)} of {len(outcome.blocks)} blocks could not be applied; read the file again."
    if len(outcome.blocks) == 1:
        remark += "\n<notice>Several changes to one file fit into one diff, a block each.</notice>"
    return remark


def _diff_problem(arguments: Arguments, state: ClientState) -> Problem | None:
    problem = form_problem(decoded_for(state.model_id, str(arguments["diff"])))
    return (Fault.DIFF_FORM, problem) if problem else None


APPLY_DIFF = Tool(
    name="apply_diff",
    run=_apply,
    arguments={"path": Argument("present", normal=plain_path), "diff": Argument("present", by_effect=True)},
    group="edit",
    is_drilled=True,
    problem=_diff_problem,
)


def _write(call: Call) -> Result:
    path = call.text("path")
    call.check_not_hidden(path)
    content = call.text("content")
    if fault := folder_fault(call, path, "reset"):
        return fault
    return call.offered(writer(call, path, written_text(content, call.state.model_id)))


WRITE_TO_FILE = Tool(
    name="write_to_file",
    run=_write,
    arguments={"path": Argument("present", normal=plain_path), "content": Argument("present", by_effect=True)},
    group="edit",
    is_drilled=True,
    alias="write_file",
    filled=("path",),
)
