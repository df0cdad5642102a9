"""`drillyard report`: writes the before/after report of a loop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from services.chassis.machine.files import written_whole
from ui.cli.connection import Document, Gateway
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
            page = write_report(gateway, loop_id, body, out)
        except OSError as error:
            problem = f"The report cannot be written to {out}: {error.strerror}."
            fail("FAILED_PRECONDITION", problem, "Name another folder with --out.", as_json=common.as_json)
        show(body, as_json=common.as_json, table=lambda: print(f"The report is {page}"))


def write_report(gateway: Gateway, loop_id: str, body: Document, out: Path) -> Path:
    """Write both forms of a report, each whole or not at all, and return the page's path.

    Raises:
        OSError: They cannot be written there.
    """
    out.mkdir(parents=True, exist_ok=True)
    with written_whole(out / "report.json") as file:
        file.write((json.dumps(body, indent=2) + "\n").encode())
    return gateway.download(f"/loops/{loop_id}/report.html", out / "report.html")
