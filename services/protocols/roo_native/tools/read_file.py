"""`read_file`: a part of a file, or the files of the form that older clients had."""

import re
from collections.abc import Mapping, Sequence
from typing import cast

from services.protocols.roo.normal_forms import defaulted, plain_path, same_path
from services.protocols.roo.workspace import is_known_folder, rules_of
from services.protocols.roo_native.parse.values import (
    Number,
    json_number,
    optional_boolean,
    optional_number,
    read_json,
    text_of,
)
from services.protocols.roo_native.tools.file_excerpts import LINE_LIMIT, Block, block_of, shown_lines, slice_of
from services.protocols.roo_native.tools.tool import Argument, Arguments, Call, Problem, Result, Tool, failed, missing
from services.protocols.turn import ClientState
from services.protocols.verdict import Fault

_SENTENCES = {
    "ignored_file": "The file is kept from you by .rooignore. Go on without it, or ask the user to change that file.",
    "file_not_found": "There is no such file.",
    "is_directory": "That is a folder, not a file; list it instead.",
    "bad_path_value": "The path must be text.",
}
_LEGACY_RANGE = re.compile("([0-9]+)-([0-9]+)")
_INDENTATION = {
    **dict.fromkeys(("anchor_line", "max_levels", "max_lines"), optional_number),
    **dict.fromkeys(("include_siblings", "include_header"), optional_boolean),
}


def legacy_files(value: object) -> list[object]:
    """Return the files of the form that older clients had, a list or its JSON text; empty when there are none.

    Raises:
        ValueError: one of the files is null.
    """
    if isinstance(value, str):
        try:
            value = read_json(value)
        except ValueError:
            return []
    entries = value if isinstance(value, list) else []
    if None in entries:
        raise ValueError("a file is null")
    return [_legacy_file(entry if isinstance(entry, dict) else {}) for entry in entries]


def _legacy_file(entry: Arguments) -> object:
    ranges = entry.get("line_ranges")
    bounds = map(_legacy_range, ranges) if isinstance(ranges, list) else ()
    return {"path": entry.get("path"), "line_ranges": [pair for pair in bounds if pair is not None]}


def _legacy_range(value: object) -> list[object] | None:
    pair: Sequence[object] = ()
    if isinstance(value, list):
        pair = value[:2]
    elif isinstance(value, dict) and "start" in value and "end" in value:
        pair = value["start"], value["end"]
    elif isinstance(value, str) and (match := _LEGACY_RANGE.fullmatch(value)):
        pair = match.groups()
    return [json_number(bound) for bound in pair] if len(pair) == 2 else None


def _indentation(value: object) -> object:
    if not isinstance(value, dict | list):
        return None
    settings = value if isinstance(value, dict) else {}
    converted = {key: convert(settings.get(key)) for key, convert in _INDENTATION.items()}
    return {key: entry for key, entry in converted.items() if entry is not None}


def _read(call: Call) -> Result:
    files = call.arguments.get("files")
    if isinstance(files, list):
        return _read_several(call, files)
    if call.lacks("path"):
        return missing(call, "path")
    lines = {"offset": call.arguments.get("offset"), "anchor_line": _block_settings(call).get("anchor_line")}
    for name, line in lines.items():
        if isinstance(line, int | float) and line < 1:
            return Result("failed", ("bad_offset",), f"Error: {name} is {line}; lines are counted from 1.")
    path = call.arguments["path"]
    if code := _fault(call, path):
        return Result("failed", (code,), _file_error(path, code), fails_turn=True)
    return call.offered(lambda: f"File: {path}\n{_excerpt(call, cast(str, path))}", "keep")


def _block_settings(call: Call) -> Arguments:
    settings = call.arguments.get("indentation")
    return settings if isinstance(settings, dict) else {}


def _fault(call: Call, path: object) -> str:
    if not isinstance(path, str):
        return "bad_path_value"
    if rules_of(call.state).hide(path):
        return "ignored_file"
    place = same_path(path)
    if place in call.state.files or call.exists(path):
        return ""
    return "is_directory" if is_known_folder(call.state, place) else "file_not_found"


def _file_error(path: object, code: str) -> str:
    return f"File: {text_of(path)}\nError: {_SENTENCES[code]}"


def _excerpt(call: Call, path: str) -> str:
    text = call.state.files.get(same_path(path))
    if text is None:
        return "The text of this file cannot be shown."
    offset, limit = (cast("Number | None", call.arguments.get(name)) for name in ("offset", "limit"))
    if call.arguments.get("mode") != "indentation":
        return slice_of(text, offset, limit)
    settings = _block_settings(call)
    most = LINE_LIMIT if limit is None else limit
    block = Block(
        anchor=int(cast(Number, settings.get("anchor_line", 1 if offset is None else offset))),
        max_levels=cast(Number, settings.get("max_levels", 0)),
        siblings=settings.get("include_siblings") is True,
        header=settings.get("include_header") is not False,
        limit=min(most, cast(Number, settings.get("max_lines", most))),
    )
    return block_of(text, block)


def _read_several(call: Call, files: Sequence[Mapping[str, object]]) -> Result:
    if any(not isinstance(file["path"], str) for file in files):
        return failed("bad_path_value", _SENTENCES["bad_path_value"])
    faults = [_fault(call, file["path"]) for file in files]
    codes = tuple(dict.fromkeys(filter(None, faults)))

    def parts() -> str:
        return "\n\n---\n\n".join(
            _file_error(file["path"], fault) if fault else f"File: {file['path']}\n{_ranges(call, file)}"
            for file, fault in zip(files, faults, strict=True)
        )

    return Result("failed", codes, parts()) if all(faults) else call.offered(parts, "keep", *codes)


def _ranges(call: Call, file: Mapping[str, object]) -> str:
    text = call.state.files.get(same_path(cast(str, file["path"])))
    ranges = cast("Sequence[Sequence[Number | None]]", file["line_ranges"])
    if text is None:
        return "The text of this file cannot be shown."
    if not ranges:
        return slice_of(text, None, None)
    lines = text.split("\n")
    bounds = [(int(first), int(last)) for first, last in ranges if first is not None and last is not None]
    return "\n".join(shown_lines(lines, range(max(1, first), min(len(lines), last) + 1)) for first, last in bounds)


def _line_problem(arguments: Arguments, state: ClientState) -> Problem | None:
    for name in ("offset", "limit"):
        line = arguments.get(name, 1)
        if isinstance(line, int | float) and line < 1:
            return Fault.BAD_VALUE, f"{name} is {line}; it is counted from 1."
    return None


READ_FILE = Tool(
    name="read_file",
    run=_read,
    arguments={
        "path": Argument("present", normal=plain_path),
        "mode": Argument(normal=defaulted("slice")),
        "offset": Argument(convert=optional_number, normal=defaulted(1)),
        "limit": Argument(convert=optional_number, normal=defaulted(LINE_LIMIT)),
        "indentation": Argument(convert=_indentation),
    },
    group="read",
    is_drilled=True,
    problem=_line_problem,
)
