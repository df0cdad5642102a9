"""`write_to_file`: a whole file."""

import re
from dataclasses import replace

from services.protocols.javascript import SPACES
from services.protocols.roo.file_text import written_text
from services.protocols.roo.normal_forms import plain_path
from services.protocols.roo_xml.tools.edit.file_changes import folder, hidden_file, writer
from services.protocols.roo_xml.tools.tool import Argument, Call, Result, Tool, failed, leading_number, missing

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
