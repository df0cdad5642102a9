"""`drillyard test-suites`: list, show, validate, import and export test suites."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ui.cli.connection import Document, Gateway
from ui.cli.jobs import add_delete_command
from ui.cli.options import Common, command, listing
from ui.cli.output import EXIT_FAILED, connected, counted, fail, print_table, show

app = typer.Typer(help="List, show, validate, import and export test suites.")

_FORMATS = {"jsonl": "cases", "cases": "cases", "bfcl": "bfcl", "prompts": "prompts"}
SuiteFile = Annotated[Path, typer.Argument(help="The file; - for stdin.")]
SuiteId = Annotated[str, typer.Option("--id", help="`<profile>/<name>`, such as roo_xml/mine.")]


@dataclass(frozen=True)
class Reading:
    """How a file becomes cases."""

    file_format: Annotated[
        str, typer.Option("--format", help="`jsonl` for our cases, `bfcl`, or `prompts` (JSONL, or CSV with a header).")
    ] = "jsonl"
    answers: Annotated[Path | None, typer.Option(help="bfcl: the file of possible answers.")] = None
    scorer: Annotated[str, typer.Option(help="prompts: scorer of those that name none.")] = "exact"
    threshold: Annotated[float, typer.Option(help="prompts: score from which an answer conforms.", min=0, max=1)] = 1.0

    def content(self, file: Path, *, as_json: bool) -> bytes:
        """Return the file's bytes, with the possible answers put into their lines."""
        if self.file_format not in _FORMATS:
            problem = f"There is no format {self.file_format!r}."
            fail("INVALID_ARGUMENT", problem, f"Use one of {', '.join(_FORMATS)}.", as_json=as_json)
        content = _read(file, as_json=as_json)
        if not content.strip():
            fail("INVALID_ARGUMENT", f"{file} is empty.", "Name a file with a case a line.", as_json=as_json)
        if self.answers is None:
            return content
        answers = _read(self.answers, as_json=as_json)
        for number, line in enumerate(answers.splitlines(), start=1):
            if line.strip() and _object(line) is None:
                problem = f"Line {number} of {self.answers} is no JSON object, or not UTF-8."
                fail("INVALID_ARGUMENT", problem, "Correct that line.", as_json=as_json)
        return _with_answers(content, answers)

    def query(self) -> dict[str, Any]:
        """Return what the gateway is told."""
        return {"format": _FORMATS[self.file_format], "scorer": self.scorer, "threshold": self.threshold}


@dataclass(frozen=True)
class Origin:
    """Where the cases come from."""

    licence: Annotated[str, typer.Option(help="SPDX name of the licence, such as Apache-2.0.")] = ""
    generator: Annotated[str, typer.Option(help="What made the cases.")] = ""
    seed: Annotated[str, typer.Option(help="What the generator was seeded with.")] = ""
    source: Annotated[str, typer.Option(help="Where the cases were found, such as an address.")] = ""


@listing(app)
@command(app, "list")
def list_suites(common: Common) -> None:
    """List all suite versions."""
    with connected(common) as gateway:
        test_suite_versions = gateway.every("/test-suites", "test_suite_versions")
        rows = [
            (
                test_suite_version["test_suite_version_id"],
                test_suite_version["num_cases"],
                _licence(test_suite_version) or "unknown",
                _origin(test_suite_version),
            )
            for test_suite_version in test_suite_versions
        ]
        columns = ("version", "cases", "licence", "from")
        show(
            test_suite_versions,
            as_json=common.as_json,
            table=lambda: print_table("Test suites", columns, rows, empty="No suite yet."),
        )


add_delete_command(app, "/test-suites", "Delete a suite version such as roo_xml/mine@1 that nothing refers to.")


@command(app, "show")
def show_suite(
    test_suite_version_id: Annotated[str, typer.Argument(help="A version, or a suite for its newest.")],
    common: Common,
) -> None:
    """Show the cases of a suite version, and where they come from."""
    with connected(common) as gateway:
        suite = gateway.get(f"/test-suites/{test_suite_version_id}")["test_suite_version"]
        name = suite["test_suite_version_id"]
        cases = gateway.every(f"/test-suites/{name}/cases", "test_cases", limit=10_000)
        rows = [(case["case_id"], case["tool"], case["category"]) for case in cases]

        def table() -> None:
            print_table(name, ("case", "tool", "category"), rows, empty="No cases.")
            names = {**(suite.get("provenance") or {}), "digest": suite["artifact"]["digest"]}
            for word, value in names.items():
                if value:
                    print(f"{word.replace('_', ' ')}: {value}")

        show({"test_suite_version": suite, "test_cases": cases}, as_json=common.as_json, table=table)


@command(app, "validate")
def validate_suite(
    file: SuiteFile,
    profile: Annotated[str, typer.Option(help="The protocol profile that the cases are for.")],
    reading: Reading,
    common: Common,
) -> None:
    """Say which lines of a file are wrong, at most 20; the exit status is 1 when there is one."""
    content = reading.content(file, as_json=common.as_json)
    with connected(common) as gateway:
        suite_id = f"{profile}/validated"
        document = gateway.upload("/test-suites/validate", content, test_suite_id=suite_id, **reading.query())

    def table() -> None:
        for problem in document["problems"]:
            print(f"{file}:{problem['line']}: {problem['problem']}")
        more = "; what follows was not read" if document["is_cut"] else ""
        print(f"{counted(document['num_cases'], 'case')}, {counted(len(document['problems']), 'wrong line')}{more}.")

    show(document, as_json=common.as_json, table=table)
    if document["problems"]:
        raise typer.Exit(EXIT_FAILED)


@command(app, "import")
def import_suite(
    file: SuiteFile,
    test_suite_id: SuiteId,
    reading: Reading,
    origin: Origin,
    common: Common,
    skip_wrong_lines: Annotated[bool, typer.Option(help="Leave out lines that cannot become cases.")] = False,
) -> None:
    """Register a suite version from a file of cases, of function-call tasks or of prompts with answers."""
    content = reading.content(file, as_json=common.as_json)
    query = {**reading.query(), **vars(origin), "skips_wrong_lines": skip_wrong_lines}
    with connected(common) as gateway:
        _register(gateway, content, as_json=common.as_json, test_suite_id=test_suite_id, **query)


# The command's earlier name, which scripts may use.


@command(app, "export")
def export_suite(
    test_suite_version_id: Annotated[str, typer.Argument(help="A version, or a suite for its newest.")],
    common: Common,
    out: Annotated[Path, typer.Option(help="File to write, or folder to write into.")] = Path(),
) -> None:
    """Write the cases of a suite version to a file, one a line."""
    with connected(common) as gateway:
        try:
            place = gateway.download(f"/test-suites/{test_suite_version_id}/export", out)
        except OSError as error:
            problem = f"{out} cannot be written: {error.strerror or error}."
            fail("INVALID_ARGUMENT", problem, "Name another place with --out.", as_json=common.as_json)
        show({"file": str(place)}, as_json=common.as_json, table=lambda: print(f"Written to {place}."))


def _register(gateway: Gateway, content: bytes, *, as_json: bool, **query: Any) -> None:
    test_suite_version = gateway.upload("/test-suites", content, **query)["test_suite_version"]
    sentence = f"{test_suite_version['test_suite_version_id']} has {counted(test_suite_version['num_cases'], 'case')}."
    show(test_suite_version, as_json=as_json, table=lambda: print(sentence))


def _with_answers(content: bytes, answers: bytes) -> bytes:
    """Return tasks with their `ground_truth`; a line that cannot be read stays as it is, for the gateway to name."""
    truths = {str(item.get("id")): item.get("ground_truth") for item in map(_object, answers.splitlines()) if item}

    def merged(line: bytes) -> bytes:
        entry = _object(line)
        truth = truths.get(str(entry.get("id"))) if entry else None
        return line if entry is None or truth is None else json.dumps({**entry, "ground_truth": truth}).encode()

    return b"\n".join(map(merged, content.split(b"\n")))


def _object(line: bytes) -> Document | None:
    try:
        document = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _read(file: Path, *, as_json: bool) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        fail("INVALID_ARGUMENT", f"{file} cannot be read: {error.strerror}.", "Name a readable file.", as_json=as_json)


def _licence(document: Document) -> str:
    return str((document.get("provenance") or {}).get("licence", ""))


def _origin(document: Document) -> str:
    return "the product" if document["built_in"] else document["produced_by"]
