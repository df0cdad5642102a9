"""`insert_content`: lines before a line, or behind the last; the classic client only."""

import math

from services.protocols.roo.normal_forms import plain_path
from services.protocols.roo_xml.tools.edit.file_changes import folder, hidden_file, writer
from services.protocols.roo_xml.tools.tool import Argument, Call, Result, Tool, leading_number, missing, mistake


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
