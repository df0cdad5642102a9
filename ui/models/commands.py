"""`drillyard models`: list, show and import models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ui.cli.connection import Document, Gateway
from ui.cli.follow import Moment, display, follow, job_moment
from ui.cli.options import Common, Follow, command, listing
from ui.cli.output import connected, fail, print_table, show

app = typer.Typer(help="List, show and import models.")


@listing(app)
@command(app, "list")
def list_models(common: Common) -> None:
    """List all model versions, newest first."""
    with connected(common) as gateway:
        found = gateway.every("/model-versions", "model_versions")
        show(found, as_json=common.as_json, table=lambda: _print(found))


@command(app, "show")
def show_model(
    model_version_id: Annotated[str, typer.Argument(help="A version, or a model for its newest.")],
    common: Common,
) -> None:
    """Show one model version with its digests and lineage."""
    with connected(common) as gateway:
        one = gateway.get(f"/model-versions/{model_version_id}")["model_version"]
        show(one, as_json=common.as_json, table=lambda: print_facts(one))


@command(app, "import")
def import_model(
    path: Annotated[Path, typer.Argument(help="A GGUF file, any part of a split one, or a Hugging Face folder.")],
    common: Common,
    model_id: Annotated[str, typer.Option("--id", help="Name of the model; by default made from the path.")] = "",
    follow_it: Follow = True,
) -> None:
    """Import a model from this machine."""
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        one = start_import(gateway, path, model_id)
        if follow_it:
            import_id = one["import_id"]
            follow(f"Import {one['model_id']}", lambda: import_moment(gateway, import_id), on)
            one = gateway.get(f"/imports/{import_id}")["model_import"]
            refuse_failed(one["job"], as_json=common.as_json)
        if not common.as_json:
            for note in one.get("notes", ()):
                on.say(note)
        made = f"{one['model_version_id']} is there." if one["model_version_id"] else f"{one['import_id']} has begun."
        show(one, as_json=common.as_json, table=lambda: on.say(made))


def start_import(gateway: Gateway, path: Path, model_id: str = "", request_id: str = "") -> Document:
    """Start an import and return its document."""
    place = "folder_path" if path.is_dir() else "gguf_path"
    name = model_id or model_id_of(path)
    body = {"model_id": name, place: str(path.expanduser().absolute()), "request_id": request_id}
    one: Document = gateway.post("/imports", body)["model_import"]
    return one


def model_id_of(path: Path) -> str:
    """Return a model's name made from a file's: lower-case letters, digits, dots and dashes."""
    stem = path.name.removesuffix(".gguf").lower()
    return "".join(one if one.isascii() and (one.isalnum() or one in ".-") else "-" for one in stem).strip(".-")


def import_moment(gateway: Gateway, import_id: str) -> Moment:
    """Return how far an import has come."""
    return job_moment(gateway.get(f"/imports/{import_id}")["model_import"]["job"])


def refuse_failed(job: Document, *, as_json: bool) -> None:
    """End the command when its job failed or was cancelled."""
    if job["state"] == "JOB_STATE_FAILED":
        fail(job["error"]["code"], job["error"]["problem"], job["error"]["next_step"], as_json=as_json)
    if job["state"] == "JOB_STATE_CANCELLED":
        fail("CANCELLED", "It was cancelled.", "Start it again when you want it.", as_json=as_json)


def print_facts(one: Document) -> None:
    """Print a document's fields, one a line."""
    rows = [(name, value) for name, value in flat(one) if value not in ("", None, [])]
    print_table("", ("field", "value"), rows, empty="Nothing is known.")


def flat(one: Document, prefix: str = "") -> list[tuple[str, object]]:
    """Return a nested document as pairs of dotted name and value."""
    found: list[tuple[str, object]] = []
    for name, value in one.items():
        found += flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)]
    return found


def _print(found: list[Document]) -> None:
    rows = (
        (
            one["model_version_id"],
            one["kind"].removeprefix("MODEL_VERSION_KIND_").lower(),
            one["base_model_version_id"],
            f"{int(one['num_parameters']) / 1e6:.0f} M",
            f"{int(one['artifact']['size_bytes']) / 1e6:.0f} MB" if one.get("artifact") else "",
            one["produced_by"],
        )
        for one in found
    )
    columns = ("version", "kind", "made from", "weights", "size", "made by")
    print_table("Model versions", columns, rows, empty="No model yet. Import one with `drillyard models import PATH`.")
