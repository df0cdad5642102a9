"""What the tools that replace a string have in common: `edit`, `search_replace` and `edit_file`."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from services.protocols.roo.normal_forms import plain_path
from services.protocols.roo.paths import same_path
from services.protocols.roo_native.tools.edit.file_changes import absent_file, folder_fault, writer
from services.protocols.roo_native.tools.tool import Argument, Call, Result, mistake

EditCode = Literal["identical", "no_match", "several_matches", "count_mismatch"]

REPLACED_STRING = {
    "file_path": Argument("present", normal=plain_path),
    "old_string": Argument("present", by_effect=True),
    "new_string": Argument("present", by_effect=True),
}


class EditError(ValueError):
    """The string is not there, or not as often as it must be.

    Attributes:
        code: the reason.
        count: how often it is there.
    """

    def __init__(self, code: EditCode, problem: str, count: int = 0) -> None:
        super().__init__(problem)
        self.code = code
        self.count = count


def with_lf(text: str) -> str:
    """Return `text` with line feeds for line breaks."""
    return text.replace("\r\n", "\n")


def with_ending_of(original: str, text: str) -> str:
    """Return `text` with the line breaks of `original`."""
    return text.replace("\n", "\r\n") if "\r\n" in original else text


def check_count(count: int, *, several: bool = False) -> None:
    """Raise EditError when the string is not there, or more than once though `several` is not meant."""
    if not count:
        raise EditError("no_match", "old_string is not in the file")
    if count > 1 and not several:
        raise EditError("several_matches", f"old_string is in the file {count} times", count)


def replaced(call: Call, do: Callable[[], str]) -> Result:
    """Return the result of a replacement that passed its checks; where the user allows it, it counts twice."""
    result = call.offered(do)
    return replace(result, counts_twice=not result.is_denied)


def replace_in_file(call: Call, change: Callable[[str, str, str], str]) -> Result:
    """Return the result of a call that replaces a string by `change`, from the file's text, old and new string."""
    if _is_same(call.arguments["old_string"], call.arguments.get("new_string")):
        return mistake("identical", "The search text and its replacement are the same, so nothing would change.")
    path = call.text("file_path")
    call.check_not_hidden(path)
    original = call.state.files.get(same_path(path))
    if original is None and (fault := folder_fault(call, path, "mistake")):
        return fault
    if original is None and not call.exists(path):
        return absent_file(path)
    # Only now does the client take the values for text.
    old, new = call.text("old_string"), call.text("new_string")
    if original is None:
        return replaced(call, lambda: f"{path} was changed.")
    try:
        text = change(original, old, new)
    except EditError as bad:
        return mistake(bad.code, f"{bad} ({path}).")
    if text == original:
        return Result("accepted", (), f"Nothing had to be changed in {path}.")
    return replaced(call, writer(call, path, text))


def _is_same(old: object, new: object) -> bool:
    if isinstance(old, str | bool) or isinstance(new, bool):
        return type(old) is type(new) and old == new
    return isinstance(old, int | float) and old == new
