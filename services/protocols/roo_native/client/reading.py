"""Calls that look at the workspace."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import cast

from services.protocols.roo.paths import same_path
from services.protocols.roo.workspace import BadExpression, found_text, is_known_folder, listing
from services.protocols.roo_native.client.call import Call, Result, error, failed, missing, wrong_type
from services.protocols.roo_native.client.views import LINE_LIMIT, Block, block_of, shown_lines, slice_of
from services.protocols.roo_native.parse.values import Number, text_of
from services.protocols.roo_native.tools import SKILLS

_SENTENCES = {
    "ignored_file": "The file is kept from you by .rooignore. Go on without it, or ask the user to change that file.",
    "file_not_found": "There is no such file.",
    "is_directory": "That is a folder, not a file; list it instead.",
    "bad_path_value": "The path must be text.",
}
_BETWEEN_FILES = "\n\n---\n\n"
_ARTIFACT = re.compile(r"cmd-[0-9]+\.txt")


def read_file(call: Call) -> Result:
    """Deliver a file, or the files of the form that older clients had."""
    files = call.arguments.get("files")
    if isinstance(files, list):
        return _read_several(call, files)
    if call.lacks("path"):
        return missing(call, "path")
    for name, line in (
        ("offset", call.arguments.get("offset")),
        ("anchor_line", _indentation(call).get("anchor_line")),
    ):
        if isinstance(line, int | float) and line < 1:
            return Result("failed", ("bad_offset",), f"Error: {name} is {line}; lines are counted from 1.")
    path = call.arguments["path"]
    code = _fault(call, path)
    if code:
        return Result("failed", (code,), _file_error(path, code), fails_turn=True)
    return call.offered(lambda: f"File: {path}\n{_view(call, cast(str, path))}", "keep")


def _fault(call: Call, path: object) -> str:
    """Return the code of what is wrong with a file to be read, or nothing."""
    if not isinstance(path, str):
        return "bad_path_value"
    if call.rules.hide(path):
        return "ignored_file"
    place = same_path(path)
    if place in call.state.files or call.exists(path):
        return ""
    return "is_directory" if is_known_folder(call.state, place) else "file_not_found"


def _file_error(path: object, code: str) -> str:
    return f"File: {text_of(path)}\nError: {_SENTENCES[code]}"


def _indentation(call: Call) -> Mapping[str, object]:
    found = call.arguments.get("indentation")
    return found if isinstance(found, dict) else {}


def _number(value: object, default: Number) -> Number:
    return value if isinstance(value, int | float) else default


def _view(call: Call, path: str) -> str:
    text = call.state.files.get(same_path(path))
    if text is None:
        return "The text of this file cannot be shown."
    offset, limit = (cast("Number | None", call.arguments.get(name)) for name in ("offset", "limit"))
    if call.arguments.get("mode") != "indentation":
        return slice_of(text, offset, limit)
    given = _indentation(call)
    block = Block(
        anchor=int(_number(given.get("anchor_line"), _number(offset, 1))),
        max_levels=_number(given.get("max_levels"), 0),
        siblings=given.get("include_siblings") is True,
        header=given.get("include_header") is not False,
        limit=min(_number(limit, LINE_LIMIT), _number(given.get("max_lines"), _number(limit, LINE_LIMIT))),
    )
    return block_of(text, block)


def _read_several(call: Call, files: Sequence[Mapping[str, object]]) -> Result:
    """Deliver each file that may be read; nothing that is wrong with one fails the turn."""
    if any(not isinstance(file["path"], str) for file in files):
        return failed("bad_path_value", _SENTENCES["bad_path_value"])
    faults = [_fault(call, file["path"]) for file in files]
    codes = tuple(dict.fromkeys(filter(None, faults)))

    def parts() -> str:
        return _BETWEEN_FILES.join(
            _file_error(file["path"], fault) if fault else f"File: {file['path']}\n{_ranges(call, file)}"
            for file, fault in zip(files, faults, strict=True)
        )

    if all(faults):
        return Result("failed", codes, parts())
    return call.offered(parts, "keep", *codes)


def _ranges(call: Call, file: Mapping[str, object]) -> str:
    text = call.state.files.get(same_path(cast(str, file["path"])))
    ranges = cast(Sequence[Sequence[Number | None]], file["line_ranges"])
    if text is None:
        return "The text of this file cannot be shown."
    if not ranges:
        return slice_of(text, None, None)
    lines = text.split("\n")
    bounds = [pair for pair in ranges if None not in pair]
    return "\n".join(_range(lines, cast(Number, first), cast(Number, last)) for first, last in bounds)


def _range(lines: Sequence[str], first: Number, last: Number) -> str:
    return shown_lines(lines, range(max(1, int(first)), min(len(lines), int(last)) + 1))


def search_files(call: Call) -> Result:
    """Search the files whose text is known."""
    if lacking := call.lacks("path", "regex"):
        return missing(call, lacking, fails_turn=True)
    if call.text("path") is None:
        return wrong_type(call, "path", "reset")
    return call.offered(lambda: _found(call))


def _found(call: Call) -> str:
    regex, glob = text_of(call.arguments["regex"]), call.text("file_pattern") or ""
    try:
        return found_text(call.state, call.text("path") or "", regex, glob)
    except BadExpression as bad:
        return error(f"The regular expression cannot be read: {bad}.")


def list_files(call: Call) -> Result:
    """List what stands in a folder."""
    if lacking := call.lacks("path"):
        return missing(call, lacking, fails_turn=True)
    path = call.text("path")
    if path is None:
        return wrong_type(call, "path", "reset")
    return call.offered(lambda: listing(call.state, path, recursive=call.arguments.get("recursive") is True))


def codebase_search(call: Call) -> Result:
    """Search by meaning; the client does not record the failure of a call without a query."""
    if lacking := call.lacks("query"):
        return missing(call, lacking, fails_turn=True, records_failure=False)
    return call.offered(lambda: call.answer_of_case("The index holds nothing that fits the query."))


def read_command_output(call: Call) -> Result:
    """Show the stored output of an earlier command."""
    if lacking := call.lacks("artifact_id"):
        return missing(call, lacking, fails_turn=True)
    artifact = text_of(call.arguments["artifact_id"])
    if not _ARTIFACT.fullmatch(artifact):
        sentence = f"{artifact!r} is no artifact; their names are like cmd-1706119234567.txt."
        return failed("bad_artifact_id", sentence, "mistake", records_failure=True, fails_turn=True)
    output = call.answer_of_case("")
    if not output:
        return failed("file_not_found", f"There is no stored output {artifact}.", fails_turn=True)
    return call.offered(lambda: output)


def skill(call: Call) -> Result:
    """Hand out the instructions of a skill."""
    if lacking := call.lacks("skill"):
        return missing(call, lacking, fails_turn=True)
    name = text_of(call.arguments["skill"])
    text = call.answer_of_case(SKILLS.get(name, ""))
    if not text:
        sentence = f"There is no skill {name!r}. The skills are: {', '.join(SKILLS)}."
        return failed("unknown_instruction", sentence, "reset", records_failure=True, fails_turn=True)
    return call.offered(lambda: f"Skill: {name}\n\n{text}")
