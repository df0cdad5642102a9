"""`apply_patch`: files added, deleted, changed and moved by one patch."""

from dataclasses import replace

from services.protocols.roo.ignored_files import ignore_rules
from services.protocols.roo.normal_forms import is_outside, same_path
from services.protocols.roo.workspace import is_known_folder, rules_of
from services.protocols.roo_native.tools.edit.files import writer
from services.protocols.roo_native.tools.edit.patch import FileChange, PatchError, changes_of, read_patch
from services.protocols.roo_native.tools.tool import (
    Argument,
    Arguments,
    Call,
    Problem,
    Result,
    Tool,
    failed,
    hidden_file,
    mistake,
)
from services.protocols.turn import ClientState
from services.protocols.verdict import Fault

_PROTECTED = "\n".join(
    (
        *(".rooignore", ".roomodes", ".roorules*", ".clinerules*", ".roo/**", ".vscode/**"),
        *("*.code-workspace", ".rooprotected", "AGENTS.md", "AGENT.md"),
    )
)
"""The client's own files, written in the form of an ignore file; nothing may be moved there."""


def _apply(call: Call) -> Result:
    patch = call.text("patch")
    try:
        changes = changes_of(read_patch(patch), lambda path: _text_at(call, path))
    except PatchError as bad:
        return mistake(bad.code, f"The patch cannot be applied: {bad}.")
    return _carry_out(call, changes) if changes else failed("bad_patch", "The patch holds no file operation.")


def _text_at(call: Call, path: str) -> str | None:
    text = call.state.files.get(same_path(path))
    if text is None and is_known_folder(call.state, same_path(path)):
        raise PatchError("is_directory", f"{path} is a folder")
    return text


def _carry_out(call: Call, changes: list[FileChange]) -> Result:
    """Return what the first operation is answered with, and what all of them count.

    Who comes to the end of the operations, failed or not, counts a second attempt and has the mistakes forgotten. A
    hidden file or a broken write ends them.
    """
    results: list[Result] = []
    goes_on = True
    for change in changes:
        is_hidden = rules_of(call.state).hide(change.path)
        results.append(hidden_file(change.path) if is_hidden else _change(call, change))
        goes_on = not is_hidden and results[-1].codes != ("is_directory",)
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


def _change(call: Call, change: FileChange) -> Result:
    place, files = same_path(change.path), call.state.files
    if change.before is None and (place in files or call.exists(place) or is_known_folder(call.state, place)):
        return mistake("file_exists", f"{change.path} exists already; update it instead.")
    if change.before is not None and place not in files:
        return mistake("file_not_found", f"There is no file {change.path} any more.")
    if change.after is None:
        return call.offered(lambda: _delete(call, change.path))
    if change.after == change.before:
        return Result("accepted", (), f"Nothing had to be changed in {change.path}.")
    if not change.move_to:
        return call.offered(writer(call, change.path, change.after))
    return _move(call, change.path, change.move_to, change.after)


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

    refusal = None if call.is_denied else _refused_move(call, move_to)
    return refusal or call.offered(move)


def _refused_move(call: Call, move_to: str) -> Result | None:
    if rules_of(call.state).hide(move_to):
        return hidden_file(move_to)
    if ignore_rules(_PROTECTED).hide(move_to):
        return mistake("write_protected", f"{move_to} is one of the client's own files; nothing may be moved there.")
    if is_outside(same_path(move_to)):
        return mistake("bad_path_value", f"{move_to} lies outside the workspace.")
    is_folder = is_known_folder(call.state, same_path(move_to))
    return failed("is_directory", f"{move_to} is a folder.") if is_folder else None


def _form_problem(arguments: Arguments, state: ClientState) -> Problem | None:
    try:
        operations = read_patch(str(arguments["patch"]))
    except PatchError as bad:
        return Fault.DIFF_FORM, f"the patch cannot be read: {bad}."
    return None if operations else (Fault.DIFF_FORM, "the patch holds no file operation.")


APPLY_PATCH = Tool(
    name="apply_patch",
    run=_apply,
    arguments={"patch": Argument("present", by_effect=True)},
    group="edit",
    use="opt_in",
    filled=("patch",),
    problem=_form_problem,
)
