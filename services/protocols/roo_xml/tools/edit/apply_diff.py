"""`apply_diff`: blocks of text to find in a file, and what replaces them."""

from services.protocols.javascript import trim
from services.protocols.roo.diff.apply import DiffOutcome, apply_diff
from services.protocols.roo.diff.blocks import form_problem
from services.protocols.roo.file_text import decoded, decoded_for
from services.protocols.roo.normal_forms import plain_path
from services.protocols.roo.workspace import numbered
from services.protocols.roo_xml.tools.edit.file_changes import folder, hidden_file, writer
from services.protocols.roo_xml.tools.tool import Argument, Call, Params, Problem, Result, Tool, mistake
from services.protocols.turn import ClientState
from services.protocols.verdict import Fault

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
        return _apply_unseen(call)
    diff = decoded_for(call.state.model_id, call.params["diff"])
    outcome = apply_diff(original, diff, threshold=call.state.fuzzy_threshold)
    if outcome.content is None:
        code = outcome.failed[-1].fault if outcome.failed else outcome.fault or ""
        return Result("failed", (code,), lambda: _why_not(call, original, diff, code), "mistake", True)
    result = call.offered(writer(call, outcome.content, _remarks(diff, outcome)))
    if outcome.failed and not result.is_denied:
        return Result(result.verdict, ("some_parts_failed",), result.reply, result.counter)
    return result


def _apply_unseen(call: Call) -> Result:
    if call.names_folder:
        return folder(call, "keep")
    if call.path in call.state.paths:
        return call.offered(lambda: lambda: f"{call.path} was changed.")
    sentence = f"There is no file {call.path}. Check the path, or list the folder first."
    return mistake("file_not_found", sentence, fails_turn=True)


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


def _problem(params: Params, state: ClientState) -> Problem | None:
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
    problem=_problem,
    title="path",
)
