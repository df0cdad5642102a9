"""`apply_diff`: blocks of text to find in a file, and what replaces them."""

from services.protocols.roo.diff.apply import DiffOutcome, apply_diff
from services.protocols.roo.diff.blocks import form_problem
from services.protocols.roo.file_text import decoded_for
from services.protocols.roo.normal_forms import plain_path
from services.protocols.roo.paths import same_path
from services.protocols.roo_native.tools.edit.file_changes import absent_file, folder_fault, writer
from services.protocols.roo_native.tools.tool import Argument, Arguments, Call, Problem, Result, Tool, missing, mistake
from services.protocols.turn import ClientState
from services.protocols.verdict import Fault

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
        return _apply_unseen(call, path)
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


def _apply_unseen(call: Call, path: str) -> Result:
    if fault := folder_fault(call, path, "keep"):
        return fault
    return call.offered(lambda: f"{path} was changed.") if call.exists(path) else absent_file(path, fails_turn=True)


def _problem(arguments: Arguments, state: ClientState) -> Problem | None:
    problem = form_problem(decoded_for(state.model_id, str(arguments["diff"])))
    return (Fault.DIFF_FORM, problem) if problem else None


APPLY_DIFF = Tool(
    name="apply_diff",
    run=_apply,
    arguments={"path": Argument("present", normal=plain_path), "diff": Argument("present", by_effect=True)},
    group="edit",
    is_drilled=True,
    problem=_problem,
)
