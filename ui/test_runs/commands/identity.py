"""Whether two runs have the same transcripts, and where not."""

from __future__ import annotations

import typer

from ui.cli.connection import Document
from ui.cli.options import Common
from ui.cli.output import EXIT_FAILED, connected, show
from ui.cli.results import print_differences


def show_identity(before: str, after: str, common: Common) -> None:
    """Print whether two runs are identical; the command's status is 1 when they are not."""
    with connected(common) as gateway:
        found = gateway.get("/test-run-comparisons", before_test_run_id=before, after_test_run_id=after)
        body = {"before_test_run_id": before, "after_test_run_id": after, **found}
        show(body, as_json=common.as_json, table=lambda: _print(body))
        if not found["identical"]:
            raise typer.Exit(EXIT_FAILED)


def _print(body: Document) -> None:
    before, after, compared = body["before_test_run_id"], body["after_test_run_id"], body["num_compared"]
    if body["identical"]:
        print(f"{after} is identical to {before}: all {compared} transcripts have the same messages and token ids.")
    else:
        print(
            f"{after} differs from {before}: {body['num_identical']} of {compared} transcripts are identical, "
            f"{body['num_equal_answers']} have answers of the same text."
        )
    for sentence in body["provenance_differences"]:
        print(f"  {sentence}")
    print_differences(body["differences"])
