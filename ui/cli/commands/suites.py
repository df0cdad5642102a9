"""`drillyard suites`: list, show and add test suites."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ui.cli.connection import Document
from ui.cli.options import Common, command, listing
from ui.cli.output import connected, fail, print_table, show

app = typer.Typer(help="List, show and add test suites.")


@listing(app)
@command(app, "list")
def list_suites(common: Common) -> None:
    """List all suite versions."""
    with connected(common) as gateway:
        found = gateway.every("/test-suites", "test_suite_versions")
        rows = [(one["test_suite_version_id"], one["num_cases"], _origin(one)) for one in found]
        columns = ("version", "cases", "from")
        show(
            found,
            as_json=common.as_json,
            table=lambda: print_table("Test suites", columns, rows, empty="No suite yet."),
        )


@command(app, "show")
def show_suite(
    test_suite_version_id: Annotated[str, typer.Argument(help="A version, or a suite for its newest.")],
    common: Common,
) -> None:
    """Show the cases of a suite version."""
    with connected(common) as gateway:
        suite = gateway.get(f"/test-suites/{test_suite_version_id}")["test_suite_version"]
        name = suite["test_suite_version_id"]
        cases = gateway.every(f"/test-suites/{name}/cases", "test_cases", limit=10_000)
        rows = [(one["case_id"], one["tool"], one["category"]) for one in cases]
        show(
            {"test_suite_version": suite, "test_cases": cases},
            as_json=common.as_json,
            table=lambda: print_table(name, ("case", "tool", "category"), rows, empty="No cases."),
        )


@command(app, "add")
def add_suite(
    file: Annotated[Path, typer.Argument(help="JSONL, one case a line; - for stdin.")],
    test_suite_id: Annotated[str, typer.Option("--id", help="`<profile>/<name>`, such as roo_xml/mine.")],
    common: Common,
) -> None:
    """Register a suite version from a file; a line that is not a case is refused with its number."""
    with connected(common) as gateway:
        made = gateway.upload("/test-suites", _read(file, as_json=common.as_json), test_suite_id=test_suite_id)
        one = made["test_suite_version"]
        sentence = f"{one['test_suite_version_id']} has {one['num_cases']} cases."
        show(one, as_json=common.as_json, table=lambda: print(sentence))


def _read(file: Path, *, as_json: bool) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        fail("INVALID_ARGUMENT", f"{file} cannot be read: {error.strerror}.", "Name a readable file.", as_json=as_json)


def _origin(one: Document) -> str:
    return "the product" if one["built_in"] else one["produced_by"]
