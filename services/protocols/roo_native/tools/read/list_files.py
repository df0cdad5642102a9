"""`list_files`: what is in a folder."""

from services.protocols.roo.normal_forms import defaulted, plain_path
from services.protocols.roo.workspace import listing
from services.protocols.roo_native.parse.values import optional_boolean
from services.protocols.roo_native.tools.tool import Argument, Call, Result, Tool


def _list(call: Call) -> Result:
    path = call.text("path", "reset")
    return call.offered(lambda: listing(call.state, path, recursive=call.arguments.get("recursive") is True))


LIST_FILES = Tool(
    name="list_files",
    run=_list,
    arguments={
        "path": Argument("present", normal=plain_path),
        "recursive": Argument(convert=optional_boolean, normal=defaulted(False)),
    },
    group="read",
    is_drilled=True,
    filled=("path",),
    lack_fails_turn=True,
)
