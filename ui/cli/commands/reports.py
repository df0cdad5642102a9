"""`drillyard report`: writes the before/after report of a loop."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from ui.cli.connection import Document
from ui.cli.options import Common
from ui.cli.output import connected, fail, show


def report(
    loop_id: Annotated[str, typer.Argument(help="A loop that has tested at least once.")],
    common: Common,
    out: Annotated[Path, typer.Option("--out", help="Folder that gets report.html and report.json.")] = Path("report"),
) -> None:
    """Write report.html and report.json of a loop."""
    with connected(common) as gateway:
        body = gateway.get(f"/loops/{loop_id}/report")
        try:
            page = write_report(body, out)
        except OSError as error:
            problem = f"The report cannot be written to {out}: {error.strerror}."
            fail("FAILED_PRECONDITION", problem, "Name another folder with --out.", as_json=common.as_json)
        show(body, as_json=common.as_json, table=lambda: print(f"The report is {page}"))


def write_report(body: Document, out: Path) -> Path:
    """Write both forms of a report, each whole or not at all, and return the page's path."""
    from ui.markup.report import render_report

    out.mkdir(parents=True, exist_ok=True)
    page = out / "report.html"
    _write(page, render_report(body))
    _write(out / "report.json", json.dumps(body, indent=2) + "\n")
    return page


def _write(path: Path, text: str) -> None:
    number, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(number, "w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
