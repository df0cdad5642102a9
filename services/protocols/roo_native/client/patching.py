"""Calls of `apply_patch`."""

from __future__ import annotations

from services.protocols.roo.paths import is_outside, same_path
from services.protocols.roo_native.client.call import Call, Result, failed, hidden, missing, wrong_type
from services.protocols.roo_native.client.editing import writer
from services.protocols.roo_native.editing.patch import FileChange, changes_of
from services.protocols.roo_native.editing.patch_text import PatchError, read_patch


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
    return call.state.files.get(same_path(path))


def _carried_out(call: Call, changes: list[FileChange]) -> Result:
    """Return the first change's result; a hidden file or a denial ends the work, a failed change does not."""
    results: list[Result] = []
    for change in changes:
        results.append(_change(call, change))
        if "ignored_file" in results[-1].codes or results[-1].is_denied:
            break
    counter = "keep" if "ignored_file" in results[-1].codes else "reset"
    done = [result for result in results if result.verdict == "accepted"]
    codes = next((result.codes for result in results if result.verdict == "failed"), ())
    first = done[0] if done else results[0]
    return Result(
        first.verdict,
        (("some_parts_failed",) if codes else first.codes) if done else codes,
        "\n".join(result.reply for result in (done or results)),
        counter,  # type: ignore[arg-type]
        records_failure=any(result.records_failure for result in results),
        is_denied=results[-1].is_denied,
    )


def _change(call: Call, change: FileChange) -> Result:
    place = same_path(change.path)
    if call.rules.hide(change.path):
        return hidden(change.path)
    if change.before is None and (place in call.state.files or call.exists(change.path)):
        return _problem("file_exists", f"{change.path} exists already; update it instead.")
    if change.before is not None and place not in call.state.files:
        return _problem("file_not_found", f"There is no file {change.path} any more.")
    if change.after is None:
        return call.offered(lambda: _delete(call, change.path))
    if change.after == change.before and not change.move_to:
        return Result("accepted", (), f"Nothing had to be changed in {change.path}.")
    if change.move_to is None:
        return call.offered(writer(call, change.path, change.after))
    return _move(call, change.path, change.move_to, change.after)


def _problem(code: str, sentence: str) -> Result:
    return failed(code, sentence, "mistake", records_failure=True)


def _delete(call: Call, path: str) -> str:
    del call.state.files[same_path(path)]
    return f"{path} was deleted."


def _move(call: Call, path: str, move_to: str, text: str) -> Result:
    if call.rules.hide(move_to):
        return hidden(move_to)
    if is_outside(same_path(move_to)):
        return _problem("bad_path_value", f"{move_to} lies outside the workspace.")

    def move() -> str:
        _delete(call, path)
        return writer(call, move_to, text)()

    return call.offered(move)
