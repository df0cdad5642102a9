"""Calls of `apply_patch`."""

from __future__ import annotations

from dataclasses import replace

from services.protocols.roo.ignored_files import ignore_rules
from services.protocols.roo.paths import is_outside, same_path
from services.protocols.roo.workspace import is_known_folder
from services.protocols.roo_native.client.call import Call, Result, failed, hidden, missing, wrong_type
from services.protocols.roo_native.client.editing import writer
from services.protocols.roo_native.editing.patch import FileChange, changes_of
from services.protocols.roo_native.editing.patch_text import PatchError, read_patch

_PROTECTED = ignore_rules(
    "\n".join(
        (
            *(".rooignore", ".roomodes", ".roorules*", ".clinerules*", ".roo/**", ".vscode/**"),
            *("*.code-workspace", ".rooprotected", "AGENTS.md", "AGENT.md"),
        )
    )
)
"""The client's own files, written in the form of an ignore file; nothing may be moved there."""


def apply_patch(call: Call) -> Result:
    """Carry out the file operations of a patch in order; a form or a place that is wrong stops all of them."""
    if lacking := call.lacks("patch"):
        return missing(call, lacking)
    patch = call.text("patch")
    if patch is None:
        return wrong_type(call, "patch")
    try:
        changes = changes_of(read_patch(patch), lambda path: _text_at(call, path))
    except PatchError as bad:
        return failed(bad.code, f"The patch cannot be applied: {bad}.", "mistake", records_failure=True)
    if not changes:
        return failed("bad_patch", "The patch holds no file operation.")
    return _carried_out(call, changes)


def _text_at(call: Call, path: str) -> str | None:
    text = call.state.files.get(same_path(path))
    if text is None and is_known_folder(call.state, same_path(path)):
        raise PatchError("is_directory", f"{path} is a folder")
    return text


def _carried_out(call: Call, changes: list[FileChange]) -> Result:
    """Return what the first operation is answered with, and what all of them count.

    Who comes to the end of the operations, failed or not, counts a second attempt and has the mistakes forgotten.
    """
    results: list[Result] = []
    goes_on = True
    for change in changes:
        result, goes_on = _step(call, change)
        results.append(result)
        if not goes_on:
            break
    num_failures = sum(result.num_failures for result in results)
    return replace(
        results[0],
        counter="reset" if goes_on else "mistake" if num_failures else "keep",
        num_failures=num_failures,
        is_denied=any(result.is_denied for result in results),
        counts_twice=goes_on,
        is_partial=any(result.verdict == "failed" for result in results[1:]),
    )


def _step(call: Call, change: FileChange) -> tuple[Result, bool]:
    """Return the result of one operation, and whether the work goes on: not after a hidden file or a broken write."""
    if call.rules.hide(change.path):
        return hidden(change.path), False
    result = _change(call, change)
    return result, result.codes != _BROKEN_WRITE


_BROKEN_WRITE = ("is_directory",)


def _change(call: Call, change: FileChange) -> Result:
    place = same_path(change.path)
    if change.before is None and (place in call.state.files or _is_taken(call, place)):
        return _problem("file_exists", f"{change.path} exists already; update it instead.")
    if change.before is not None and place not in call.state.files:
        return _problem("file_not_found", f"There is no file {change.path} any more.")
    if change.after is None:
        return call.offered(lambda: _delete(call, change.path))
    if change.after == change.before:
        return Result("accepted", (), f"Nothing had to be changed in {change.path}.")
    if not change.move_to:
        return call.offered(writer(call, change.path, change.after))
    return _move(call, change.path, change.move_to, change.after)


def _is_taken(call: Call, place: str) -> bool:
    return call.exists(place) or is_known_folder(call.state, place)


def _problem(code: str, sentence: str) -> Result:
    return failed(code, sentence, "mistake", records_failure=True)


def _delete(call: Call, path: str) -> str:
    del call.state.files[same_path(path)]
    return f"{path} was deleted."


def _move(call: Call, path: str, move_to: str, text: str) -> Result:
    """Move a file once the user agrees; where it may not go, the client finds only then."""

    def move() -> str:
        reply = writer(call, move_to, text)()
        # A file moved onto itself is written first and then deleted.
        _delete(call, path)
        return reply

    refused = None if call.is_denied else _refused_move(call, move_to)
    return refused or call.offered(move)


def _refused_move(call: Call, move_to: str) -> Result | None:
    place = same_path(move_to)
    if call.rules.hide(move_to):
        return hidden(move_to)
    if _PROTECTED.hide(move_to):
        return _problem("write_protected", f"{move_to} is one of the client's own files; nothing may be moved there.")
    if is_outside(place):
        return _problem("bad_path_value", f"{move_to} lies outside the workspace.")
    return failed("is_directory", f"{move_to} is a folder.") if is_known_folder(call.state, place) else None
