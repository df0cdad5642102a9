"""What tools that change files have in common: writing, and what the client says of places where it cannot."""

from collections.abc import Callable

from services.protocols.roo.paths import same_path
from services.protocols.roo.workspace import is_known_folder
from services.protocols.roo_native.parse.values import write_json
from services.protocols.roo_native.tools.tool import Call, Counter, Result, failed, mistake


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
