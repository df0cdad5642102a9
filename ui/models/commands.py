"""`drillyard models`: list, show and import models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ui.cli.connection import Document, Gateway
from ui.cli.follow import Progress, display, follow, job_progress
from ui.cli.jobs import add_delete_command, refuse_failed
from ui.cli.options import Common, Follow, command, listing
from ui.cli.output import connected, print_facts, print_table, show
from ui.models.shipping.commands import export_model, push_version
from ui.shared.words import kind_text

app = typer.Typer(help="List, show and import models.")


@listing(app)
@command(app, "list")
def list_models(common: Common) -> None:
    """List all model versions, newest first."""
    with connected(common) as gateway:
        model_versions = gateway.every("/model-versions", "model_versions")
        show(model_versions, as_json=common.as_json, table=lambda: _print(model_versions))


@command(app, "show")
def show_model(
    model_version_id: Annotated[str, typer.Argument(help="A version, or a model for its newest.")],
    common: Common,
) -> None:
    """Show one model version with its digests and lineage."""
    with connected(common) as gateway:
        model_version = gateway.get(f"/model-versions/{model_version_id}")["model_version"]
        show(model_version, as_json=common.as_json, table=lambda: print_facts(model_version))


add_delete_command(app, "/model-versions", "Delete a version such as small@2 that nothing is made of or refers to.")


@command(app, "import")
def import_model(
    path: Annotated[Path, typer.Argument(help="A GGUF file, any part of a split one, or a Hugging Face folder.")],
    common: Common,
    model_id: Annotated[str, typer.Option("--id", help="Name of the model; by default made from the path.")] = "",
    follow_it: Follow = True,
) -> None:
    """Import a model from this machine."""
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        model_import = start_import(gateway, path, model_id)
        if follow_it:
            import_id = model_import["import_id"]
            follow(f"Import {model_import['model_id']}", lambda: import_progress(gateway, import_id), on)
            model_import = gateway.get(f"/imports/{import_id}")["model_import"]
            refuse_failed(model_import["job"], as_json=common.as_json)
        if not common.as_json:
            for note in model_import.get("notes", ()):
                on.say(note)
        result = (
            f"{model_import['model_version_id']} is there."
            if model_import["model_version_id"]
            else f"{model_import['import_id']} has begun."
        )
        show(model_import, as_json=common.as_json, table=lambda: on.say(result))


command(app, "export")(export_model)
command(app, "push")(push_version)


def start_import(gateway: Gateway, path: Path, model_id: str = "", request_id: str = "") -> Document:
    """Start an import and return its document."""
    place = "folder_path" if path.is_dir() else "gguf_path"
    name = model_id or model_id_of(path)
    body = {"model_id": name, place: str(path.expanduser().absolute()), "request_id": request_id}
    document: Document = gateway.post("/imports", body)["model_import"]
    return document


def model_id_of(path: Path) -> str:
    """Return a model's name made from a file's: lower-case letters, digits, dots and dashes."""
    stem = path.name.removesuffix(".gguf").lower()
    return "".join(item if item.isascii() and (item.isalnum() or item in ".-") else "-" for item in stem).strip(".-")


def import_progress(gateway: Gateway, import_id: str) -> Progress:
    """Return how far an import has come."""
    return job_progress(gateway.get(f"/imports/{import_id}")["model_import"]["job"])


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
    print_table("Model versions", columns, rows, empty="No model yet. Import one with `drillyard models import PATH`.")
