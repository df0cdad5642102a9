"""Calls that look at the workspace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from services.protocols.roo.paths import same_path
from services.protocols.roo.workspace import BadExpression, found_text, is_known_folder, listing, numbered
from services.protocols.roo_xml.arguments import BadNestedValue, Number, typed_arguments
from services.protocols.roo_xml.client.call import Call, Reply, Result, error, failed, missing
from services.protocols.roo_xml.tools import INSTRUCTION_TASKS

_SENTENCES = {
    "bad_range": "The line range ends before it begins.",
    "ignored_file": "The file is kept from you by .rooignore; go on without it, or ask the user to change that file.",
    "bad_path_value": "The path is more than plain text.",
    "file_not_found": "There is no such file.",
    "is_directory": "That is a folder, not a file.",
    "range_beyond_end": "The line range begins behind the last line.",
}


_SINGLE_FILE_MODELS = ("grok-code-fast-1", "code-supernova")


def reads_single_files(model_id: str) -> bool:
    """Return whether the client has a model of this id read by another tool, which takes one path and no ranges."""
    return any(part in model_id for part in _SINGLE_FILE_MODELS)


@dataclass(slots=True)
class _File:
    path: object
    ranges: Sequence[Sequence[Number]]
    status: Literal["pending", "approved", "denied", "failed", "read"] = "pending"
    code: str = ""

    def set(self, status: Literal["approved", "denied", "failed", "read"], code: str = "") -> None:
        self.status, self.code = status, code


class _Reading:
    """Deals with the files of one call as the client does, which notes everything at the first entry of a path."""

    def __init__(self, call: Call, files: Sequence[dict[str, object]]) -> None:
        self.call = call
        self.files = [_File(entry["path"], cast(Sequence[Sequence[Number]], entry["line_ranges"])) for entry in files]
        self.waiting: list[_File] = []

    def run(self) -> None:
        for file in self.files:
            if not isinstance(file.path, str):
                # The client gives up on the whole call here, and blames the first file.
                self.files[0].set("failed", "bad_path_value")
                return
            self._check(file, file.path)
        is_denied = self.call.tool in self.call.state.denied_tools
        for file in self.waiting:
            first = self._first(file)
            first.status = "denied" if is_denied else "approved"
        for file in self.files:
            if file.status == "approved":
                self._read(file)

    def _first(self, file: _File) -> _File:
        return next(other for other in self.files if other.path == file.path)

    def _check(self, file: _File, path: str) -> None:
        if any(first > last for first, last in file.ranges):
            self._first(file).set("failed", "bad_range")
        elif self.call.rules.hide(path):
            self._first(file).set("failed", "ignored_file")
        else:
            self.waiting.append(file)

    def _read(self, file: _File) -> None:
        path, state = same_path(cast(str, file.path)), self.call.state
        text = state.files.get(path)
        if text is None:
            known = path in map(same_path, state.paths)
            absent = "is_directory" if is_known_folder(state, path) else "file_not_found"
            file.set(*(("read", "") if known else ("failed", absent)))
        elif any(max(first - 1, 0) >= _count_lines(text) for first, _ in file.ranges):
            file.set("failed", "range_beyond_end")
        else:
            file.set("read")

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
        whole = [(1, _count_lines(text))]
        return "\n".join(_lines(text, first, last) for first, last in file.ranges or whole)


def _count_lines(text: str) -> int:
    return text.count("\n") + (not text.endswith("\n") and text != "")


def _lines(text: str, first: Number, last: Number) -> str:
    start, end = (int(min(max(bound, 1), len(text) + 1)) for bound in (first, last))
    lines = text.removesuffix("\n").split("\n")[start - 1 : end]
    shown = numbered("\n".join(lines), start)
    return f'<content lines="{first}-{min(last, start + len(lines) - 1)}">\n{shown}\n</content>'


def read_file(call: Call) -> Result:
    """Deliver each file that may be read, and name what is wrong with the others; one delivered file is enough."""
    if reads_single_files(call.state.model_id):
        return _read_single_file(call)
    try:
        files = cast(list[dict[str, object]], typed_arguments("read_file", call.params)["files"])
    except BadNestedValue as bad:
        return failed("args_xml", f"args could not be read as XML: {bad}.")
    if not files:
        result = missing(call, "args")
        return Result(
            result.verdict,
            result.codes,
            lambda: f"<files>\n{result.reply()}\n</files>",
            "mistake",
            records_failure=True,
        )
    reading = _Reading(call, files)
    reading.run()
    return reading.result(lambda: "\n".join(("<files>", *reading.elements(), "</files>")), fails_turn=True)


def _read_single_file(call: Call) -> Result:
    """Deliver the file that `path` names; one that cannot be delivered does not fail the turn."""
    if lacking := call.lacks("path"):
        return missing(call, lacking)
    reading = _Reading(call, [{"path": call.params["path"], "line_ranges": ()}])
    reading.run()
    return reading.result(lambda: "\n".join(reading.elements()), fails_turn=False)


def search_files(call: Call) -> Result:
    """Search the files whose text is known."""
    if lacking := call.lacks("path", "regex"):
        return missing(call, lacking, fails_turn=True)
    return call.offered(lambda: lambda: _found(call))


def _found(call: Call) -> str:
    params = call.params
    try:
        return found_text(call.state, params["path"], params["regex"], params.get("file_pattern", ""))
    except BadExpression as bad:
        return error(f"The regular expression cannot be read: {bad}.")


def list_files(call: Call) -> Result:
    """List what stands in a folder."""
    if lacking := call.lacks("path"):
        return missing(call, lacking, fails_turn=True)
    recursive = call.params.get("recursive", "").lower() == "true"
    return call.offered(lambda: lambda: listing(call.state, call.params["path"], recursive=recursive))


def list_code_definition_names(call: Call) -> Result:
    """Name the definitions of a file or folder; the classic client only."""
    if lacking := call.lacks("path"):
        return missing(call, lacking)
    return call.offered(lambda: lambda: call.answer_of_case("No definitions were found."))


def codebase_search(call: Call) -> Result:
    """Search by meaning; the client forgets to record the failure of a call without a query."""
    if lacking := call.lacks("query"):
        return missing(call, lacking, fails_turn=True, records_failure=False)
    return call.offered(lambda: lambda: call.answer_of_case("The index holds nothing that fits the query."))


def fetch_instructions(call: Call) -> Result:
    """Hand out one of the two instructions that exist."""
    if lacking := call.lacks("task"):
        return missing(call, lacking, fails_turn=True)
    task = call.params["task"]
    result = call.offered(lambda: _instruction(call))
    if result.is_denied or task in INSTRUCTION_TASKS:
        return result
    known = ", ".join(INSTRUCTION_TASKS)
    return failed("unknown_instruction", f"There is no instruction {task!r}; there are: {known}.", "reset")


def _instruction(call: Call) -> Reply:
    what = {"create_mcp_server": "an MCP server", "create_mode": "a mode of your own"}.get(call.params["task"], "")
    return lambda: call.answer_of_case(f"Write down what {what} needs, then make its files one at a time.")
