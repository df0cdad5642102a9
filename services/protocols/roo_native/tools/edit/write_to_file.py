"""`write_to_file`: a whole file."""

from services.protocols.roo.file_text import written_text
from services.protocols.roo.normal_forms import plain_path
from services.protocols.roo_native.tools.edit.file_changes import folder_fault, writer
from services.protocols.roo_native.tools.tool import Argument, Call, Result, Tool


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
