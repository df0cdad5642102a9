"""`drillyard models export` and `push`, `drillyard exports` and `publications`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

import typer
from drillyard.registry.v1.export_pb2 import ExportSpec

from ui.cli.connection import Document, Gateway
from ui.cli.fields import FieldOptions
from ui.cli.follow import Progress, display, follow, job_progress
from ui.cli.jobs import add_job_commands, add_show_command, refuse_failed, state_of
from ui.cli.options import Common, Follow, command, listing
from ui.cli.output import connected, print_table, show
from ui.models.exports.destinations import destination_fields
from ui.models.exports.forms import form_fields

exports = typer.Typer(help="List, show, follow and cancel exports.")
publications = typer.Typer(help="List, show, follow and cancel publications.")
_SPECS = {"exports": "export", "publications": "publication"}
Version = Annotated[str, typer.Argument(help="A version, or a model for its newest.")]
_OPTIONS = FieldOptions(ExportSpec, ("model_version_id", "form", "number_type"), {"model_id": "name"})
Settings: TypeAlias = Annotated[Document, _OPTIONS]


@dataclass(frozen=True)
class Place:
    """Where a publication goes."""

    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="folder:/PATH, ollama:NAME[@/STORE], ollama-daemon:NAME@http://HOST:PORT, "
            "ollama-registry:HOST/NAMESPACE/NAME:TAG, hf:OWNER/NAME[@BRANCH] or oci:HOST/REPOSITORY:TAG.",
        ),
    ]
    secret: Annotated[
        str, typer.Option("--secret", help="Name of the registry's secret that holds a token for the place.")
    ] = ""
    replace: Annotated[bool, typer.Option("--replace", help="Give a name that exists to this version.")] = False


def export_model(
    model: Version,
    form: Annotated[
        str,
        typer.Option(
            "--as", help="adapter, merged[:TYPE], gguf[:TYPE], gguf-adapter or ollama[:TYPE], such as gguf:Q4_K_M."
        ),
    ],
    settings: Settings,
    common: Common,
    follow_it: Follow = True,
) -> None:
    """Write a form in which other programs serve a version; the form is a version of its own."""
    with connected(common) as gateway:
        body = {**settings, "model_version_id": model, **form_fields(form)}
        export = _done(gateway, "exports", body, f"Export {model}", common, follow_it=follow_it)
        version = export["model_version_id"]
        sentence = f"{version} is there." if version else f"{export['export_id']} has begun."
        show(export, as_json=common.as_json, table=lambda: _say(sentence, export.get("notes", ())))


def push_version(model: Version, place: Place, common: Common, follow_it: Follow = True) -> None:
    """Publish a version: nothing is visible under the name before it is whole."""
    publish(model, {"model_version_id": model}, place, common, follow_it=follow_it)


def publish(name: str, version: Document, place: Place, common: Common, *, follow_it: bool) -> None:
    """Publish what the fields of a PublicationSpec in `version` name, and say where it is."""
    with connected(common) as gateway:
        destination = destination_fields(place.to, secret=place.secret, replace=place.replace)
        body = {**version, "destination": destination}
        publication = _done(gateway, "publications", body, f"Publish {name}", common, follow_it=follow_it)
        where = publication["location"]
        sentence = f"{name} is at {where}." if where else f"{publication['publication_id']} has begun."
        show(publication, as_json=common.as_json, table=lambda: _say(sentence))


@listing(exports)
@command(exports, "list")
def list_exports(common: Common) -> None:
    """List exports, newest first."""
    with connected(common) as gateway:
        items = gateway.every("/exports", "exports")
        rows = [
            (item["export_id"], item["spec"]["model_version_id"], item["model_version_id"], state_of(item["job"]))
            for item in items
        ]
        columns = ("export", "version", "made", "state")
        table = lambda: print_table("Exports", columns, rows, empty="No export yet.")  # noqa: E731
        show(items, as_json=common.as_json, table=table)


@listing(publications)
@command(publications, "list")
def list_publications(common: Common) -> None:
    """List publications, newest first."""
    with connected(common) as gateway:
        items = gateway.every("/publications", "publications")
        rows = [
            (
                item["publication_id"],
                item["spec"]["model_version_id"] or item["spec"]["dataset_version_id"],
                item["location"],
                state_of(item["job"]),
            )
            for item in items
        ]
        columns = ("publication", "version", "where", "state")
        table = lambda: print_table("Publications", columns, rows, empty="No publication yet.")  # noqa: E731
        show(items, as_json=common.as_json, table=table)


def shipping_progress(gateway: Gateway, noun: str, job_id: str) -> Progress:
    """Return how far an export or a publication has come; `noun` is "exports" or "publications"."""
    return job_progress(gateway.get(f"/{noun}/{job_id}")[_SPECS[noun]]["job"])


def _done(gateway: Gateway, noun: str, body: Document, title: str, common: Common, *, follow_it: bool) -> Document:
    """Start a job, wait for its end where that is wanted, and return its document."""
    name = _SPECS[noun]
    document: Document = gateway.post(f"/{noun}", body)[name]
    job_id = document[f"{name}_id"]
    if follow_it:
        with display(as_json=common.as_json) as on:
            follow(title, lambda: shipping_progress(gateway, noun, job_id), on)
        document = gateway.get(f"/{noun}/{job_id}")[name]
        refuse_failed(document["job"], as_json=common.as_json)
    return document


def _say(sentence: str, notes: list[str] | tuple[str, ...] = ()) -> None:
    for line in (*notes, sentence):
        print(line)


add_show_command(exports, "/exports", "Show an export: its settings, how far it is, and what it made.")
add_job_commands(
    exports,
    "/exports",
    lambda gateway, job_id: shipping_progress(gateway, "exports", job_id),
    {"cancel": "Cancel an export."},
)
add_show_command(publications, "/publications", "Show a publication: its place, how far it is, and where it is.")
add_job_commands(
    publications,
    "/publications",
    lambda gateway, job_id: shipping_progress(gateway, "publications", job_id),
    {"cancel": "Cancel a publication."},
)
