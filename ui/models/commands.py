"""`drillyard models`: list, show and import models."""

from __future__ import annotations

from typing import Annotated

import typer

from ui.cli.connection import Document
from ui.cli.gc import print_garbage
from ui.cli.jobs import add_delete_command, add_show_command
from ui.cli.options import Common, command, listing
from ui.cli.output import connected, print_table, show
from ui.models.exports.commands import export_model, push_version
from ui.models.import_commands import add_import_commands
from ui.shared.words import kind_text, percent_text

app = typer.Typer(help="List, show and import models.")


@listing(app)
@command(app, "list")
def list_models(common: Common) -> None:
    """List all model versions, newest first."""
    with connected(common) as gateway:
        model_versions = gateway.every("/model-versions", "model_versions")
        show(model_versions, as_json=common.as_json, table=lambda: _print(model_versions))


add_show_command(app, "/model-versions", "Show a version, or a model's newest, with its digests and lineage.")


@command(app, "lineage")
def show_lineage(
    model_version_id: Annotated[str, typer.Argument(help="A version, or a model for its newest.")],
    common: Common,
) -> None:
    """Show what a version was made from and what was made of it, with what each learned and how well it does."""
    with connected(common) as gateway:
        lineage = gateway.get(f"/model-versions/{model_version_id}/lineage")
        show(lineage, as_json=common.as_json, table=lambda: _print_lineage(lineage))


add_delete_command(app, "/model-versions", "Delete a version such as small@2 that nothing is made of or refers to.")


@command(app, "gc")
def collect(
    common: Common,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which they are.")] = False,
    days: Annotated[float, typer.Option(help="Younger versions stay.", min=0)] = 7.0,
) -> None:
    """Delete versions that nothing names; imports stay, and the newest version of each model that was trained."""
    with connected(common) as gateway:
        answer = gateway.post("/model-versions/garbage-collection", {"dry_run": dry_run}, days=days)
        show(answer, as_json=common.as_json, table=lambda: _print_garbage(answer["garbage"], dry_run=dry_run))


add_import_commands(app)
command(app, "export")(export_model)
command(app, "push")(push_version)


def _print_lineage(lineage: Document) -> None:
    depths: dict[str, int] = {}
    rows = []
    for node in lineage["nodes"]:
        version = node["model_version"]
        name = version["model_version_id"]
        depths[name] = depths.get(node["made_from"], -1) + 1
        rates = (
            f"{one['test_suite_version_id']} {percent_text(one['conforming_rate'])}" for one in node["evaluations"]
        )
        branch = "  " * depths[name] + ("└ " if depths[name] else "")
        rows.append((f"{branch}{name}", kind_text(version["kind"]), node["dataset_version_id"], ", ".join(rates)))
    columns = ("version", "kind", "learned", "conforming")
    print_table(f"Lineage of {lineage['model_version_id']}", columns, rows, empty="")
    if lineage["num_hidden"]:
        print(f"{lineage['num_hidden']} more are left out.")


def _print_garbage(garbage: list[Document], *, dry_run: bool) -> None:
    for item in garbage:
        print(item["name"])
    print_garbage(garbage, dry_run=dry_run)


def _print(documents: list[Document]) -> None:
    rows = (
        (
            document["model_version_id"],
            kind_text(document["kind"]),
            document["base_model_version_id"],
            f"{int(document['num_parameters']) / 1e6:.0f} M",
            f"{int(document['artifact']['size_bytes']) / 1e6:.0f} MB" if document.get("artifact") else "",
            document["produced_by"],
        )
        for document in documents
    )
    columns = ("version", "kind", "made from", "weights", "size", "made by")
    print_table("Model versions", columns, rows, empty="No model yet: `drillyard models import SOURCE` brings one.")
