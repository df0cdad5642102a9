"""What the tools that change a file share."""

from collections.abc import Callable

from services.protocols.roo_xml.tools.tool import Call, Counter, Reply, Result, failed

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
