"""`read_file`: files, whole or by ranges of lines."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from services.protocols.roo.normal_forms import plain_path, same_path
from services.protocols.roo.workspace import is_known_folder, numbered
from services.protocols.roo_xml.nested.lenient_xml import Value
from services.protocols.roo_xml.nested.values import BadNestedValue, listed, read_nested
from services.protocols.roo_xml.tools.tool import (
    Argument,
    Arguments,
    Call,
    Number,
    Params,
    Problem,
    Reply,
    Result,
    Tool,
    failed,
    leading_number,
    missing,
    whole_number,
)
from services.protocols.turn import ClientState
from services.protocols.verdict import Fault

_RANGE = re.compile("([0-9]+)-([0-9]+)")
_RANGE_ELEMENT = re.compile(r"<line_range>([^<]*)<")
_WHOLE_RANGE = re.compile(r"\s*[0-9]+-[0-9]+\s*")
_SINGLE_FILE_MODELS = ("grok-code-fast-1", "code-supernova")
_MAX_NAMED_FILES = 3
_ADVICE = "Several files can be read in one call; name every file that matters now."
_SENTENCES = {
    "bad_range": "The line range ends before it begins.",
    "ignored_file": "The file is kept from you by .rooignore; go on without it, or ask the user to change that file.",
    "bad_path_value": "The path is more than plain text.",
    "file_not_found": "There is no such file.",
    "is_directory": "That is a folder, not a file.",
    "range_beyond_end": "The line range begins behind the last line.",
}


def _read_arguments(params: Params) -> Arguments:
    if params.get("args"):
        elements = listed(read_nested("args", params["args"]).get("file", []))
        return {"files": [_file(element) for element in elements if isinstance(element, dict) and element.get("path")]}
    if not params.get("path"):
        return {"files": []}
    bounds = [leading_number(params.get(name, "")) for name in ("start_line", "end_line")]
    return {"files": [{"path": params["path"], "line_ranges": [bounds] if all(bound > 0 for bound in bounds) else []}]}


def _file(element: Mapping[str, Value]) -> dict[str, object]:
    texts = (value for value in listed(element.get("line_range", [])) if isinstance(value, str))
    ranges = [[*map(whole_number, bounds.groups())] for bounds in map(_RANGE.search, texts) if bounds]
    return {"path": element["path"], "line_ranges": ranges}


def _files_of(params: Params) -> list[dict[str, object]]:
    return cast(list[dict[str, object]], _read_arguments(params)["files"])


@dataclass(slots=True)
class _File:
    path: object
    ranges: Sequence[Sequence[Number]]
    status: Literal["pending", "approved", "denied", "failed", "read"] = "pending"
    code: str = ""

    def fail(self, code: str) -> None:
        self.status, self.code = "failed", code


class _FileReader:
    """Deals with the files of one call as the client does, which notes everything at the first entry of a path."""

    def __init__(self, call: Call, files: Sequence[Mapping[str, object]]) -> None:
        self.call = call
        self.files = [_File(entry["path"], cast(Sequence[Sequence[Number]], entry["line_ranges"])) for entry in files]

    def run(self) -> None:
        waiting = []
        for file in self.files:
            if not isinstance(file.path, str):
                # The client gives up on the whole call here, and blames the first file.
                self.files[0].fail("bad_path_value")
                return
            if any(first > last for first, last in file.ranges):
                self._first(file).fail("bad_range")
            elif self.call.rules.hide(file.path):
                self._first(file).fail("ignored_file")
            else:
                waiting.append(file)
        is_denied = self.call.tool in self.call.state.denied_tools
        for file in waiting:
            self._first(file).status = "denied" if is_denied else "approved"
        for file in self.files:
            if file.status == "approved":
                self._read(file)

    def _first(self, file: _File) -> _File:
        return next(other for other in self.files if other.path == file.path)

    def _read(self, file: _File) -> None:
        path, state = same_path(cast(str, file.path)), self.call.state
        text = state.files.get(path)
        if text is None and path not in map(same_path, state.paths):
            file.fail("is_directory" if is_known_folder(state, path) else "file_not_found")
        elif text is not None and any(max(first - 1, 0) >= _count_lines(text) for first, _ in file.ranges):
            file.fail("range_beyond_end")
        else:
            file.status, file.code = "read", ""

    def result(self, reply: Reply, *, fails_turn: bool) -> Result:
        statuses = [file.status for file in self.files]
        codes = tuple(dict.fromkeys(file.code for file in self.files if file.code))
        is_denied = "denied" in statuses
        return Result(
            "accepted" if "read" in statuses or is_denied else "failed",
            ("denied_by_user", *codes) if is_denied else codes,
            reply,
            fails_turn=fails_turn and "failed" in statuses,
            is_denied=is_denied,
        )

    def elements(self) -> Iterator[str]:
        for file in self.files:
            head = f"<file><path>{file.path}</path>"
            if file.status == "failed":
                yield f"{head}<error>{_SENTENCES[file.code]}</error></file>"
            elif file.status == "denied":
                yield f"{head}<status>The user did not allow this.</status></file>"
            elif file.status == "read":
                yield f"{head}\n{self._content(file)}\n</file>"

    def _content(self, file: _File) -> str:
        text = self.call.state.files.get(same_path(cast(str, file.path)))
        if text is None:
            return "<notice>The file's text cannot be shown.</notice>"
        if not file.ranges and not text:
            return "<content/><notice>The file is empty.</notice>"
        return "\n".join(_lines(text, first, last) for first, last in file.ranges or [(1, _count_lines(text))])


def _count_lines(text: str) -> int:
    return text.count("\n") + (not text.endswith("\n") and text != "")


def _lines(text: str, first: Number, last: Number) -> str:
    start, end = (int(min(max(bound, 1), len(text) + 1)) for bound in (first, last))
    lines = text.removesuffix("\n").split("\n")[start - 1 : end]
    shown = numbered("\n".join(lines), start)
    return f'<content lines="{first}-{min(last, start + len(lines) - 1)}">\n{shown}\n</content>'


def _read(call: Call) -> Result:
    if _reads_single_files(call):
        return _read_single_file(call)
    try:
        files = _files_of(call.params)
    except BadNestedValue as bad:
        return failed("args_xml", f"args could not be read as XML: {bad}.")
    if not files:
        result = missing(call, "args")
        return Result("failed", result.codes, lambda: f"<files>\n{result.reply()}\n</files>", "mistake", True)
    reader = _FileReader(call, files)
    reader.run()
    return reader.result(lambda: "\n".join(("<files>", *reader.elements(), "</files>")), fails_turn=True)


def _reads_single_files(call: Call) -> bool:
    """Return whether the client has this model read by another tool, which takes one path and no ranges."""
    return any(part in call.state.model_id for part in _SINGLE_FILE_MODELS)


def _read_single_file(call: Call) -> Result:
    """Deliver the file that `path` names; one that cannot be delivered does not fail the turn."""
    if lacking := call.lacks("path"):
        return missing(call, lacking)
    reader = _FileReader(call, [{"path": call.params["path"], "line_ranges": ()}])
    reader.run()
    return reader.result(lambda: "\n".join(reader.elements()), fails_turn=False)


def _problem(params: Params, state: ClientState) -> Problem | None:
    try:
        files = _files_of(params)
    except BadNestedValue as bad:
        return Fault.ARGS_XML, f"args is not readable XML: {bad}."
    if not files:
        return Fault.MISSING_PARAM, "args holds no <file> with a <path>."
    for entry in files:
        if not isinstance(entry["path"], str):
            return Fault.BAD_VALUE, "a <path> in args is more than plain text."
        if any(first > last or first < 1 for first, last in cast(list[list[Number]], entry["line_ranges"])):
            return Fault.BAD_VALUE, f"a line range of {entry['path']} runs backwards or begins before line 1."
    for written in _RANGE_ELEMENT.findall(params["args"]):
        if not _WHOLE_RANGE.fullmatch(written):
            return Fault.BAD_VALUE, f"the line range {written!r} is not of the form 10-20."
    return None


def _normal_files(value: object) -> object:
    entries = value if isinstance(value, list | tuple) else []
    return sorted(
        (str(plain_path(entry["path"])), [list(bounds) for bounds in entry["line_ranges"]]) for entry in entries
    )


def _title(call: Call) -> str:
    if _reads_single_files(call):
        path = call.params.get("path")
        return f" for '{path}'" if path else " without a path"
    try:
        paths = [str(entry["path"]) for entry in _files_of(call.params)]
    except BadNestedValue:
        return " with args that cannot be read"
    if not paths:
        return " without a path"
    if len(paths) == 1:
        return f" for '{paths[0]}'. {_ADVICE}"
    if len(paths) > _MAX_NAMED_FILES:
        return f" for {len(paths)} files"
    return " for " + ", ".join(f"'{path}'" for path in paths)


READ_FILE = Tool(
    name="read_file",
    run=_read,
    demanded=("args",),
    group="read",
    is_drilled=True,
    arguments={"files": Argument(normal=_normal_files)},
    read_arguments=_read_arguments,
    problem=_problem,
    title=_title,
)
