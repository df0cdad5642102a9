"""`drillyard gc`: remove what nobody needs any more."""

from __future__ import annotations

from typing import Annotated

import typer

from ui.cli.connection import Document
from ui.cli.options import Common
from ui.cli.output import connected, print_table, show
from ui.gateway.storage.sums import garbage_sums
from ui.shared.words import size_text


def gc(
    common: Common,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
) -> None:
    """Remove old events, checkpoints, caches and leftovers of all services; each does so by itself once a day."""
    with connected(common) as gateway:
        answer = gateway.post("/garbage-collections", {"dry_run": dry_run})
        show(answer, as_json=common.as_json, table=lambda: print_garbage(answer["garbage"], dry_run=dry_run))


def print_garbage(garbage: list[Document], *, dry_run: bool) -> None:
    """Print what has gone, or would, summed by what it is and why, and the room that it takes."""
    sums = garbage_sums(garbage)
    rows = [(service, kind, number, size_text(size), reason) for service, kind, number, size, reason in sums]
    columns = ("service", "what", "number", "size", "reason")
    print_table("", columns, rows, empty="There is nothing to remove.")
    if rows:
        total = size_text(sum(size for _, _, _, size, _ in sums))
        print(f"{total} would be free. Without --dry-run it is done." if dry_run else f"{total} are free.")
