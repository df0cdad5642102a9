"""Commands of imports: start one from anywhere, list them, cancel one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ui.cli.connection import Document, Gateway
from ui.cli.follow import Progress, display, follow, job_progress
from ui.cli.jobs import add_job_commands, add_show_command, refuse_failed, state_of
from ui.cli.options import Common, Follow, command, listing
from ui.cli.output import connected, print_table, show
from ui.models.sending import send_model
from ui.models.sources import read_source

_SOURCE_HELP = (
    "hf:owner/name, with @revision and :file.gguf where needed; ollama:name:tag, with host/namespace/ in front where "
    "needed; oci:host/repository:tag; an https address of a GGUF file; or the path of a GGUF file, a Hugging Face "
    "folder or a PEFT adapter."
)
_imports = typer.Typer(help="List, show, follow and cancel imports.")


def add_import_commands(app: typer.Typer) -> None:
    """Add `import`, and `imports` with its commands."""
    command(app, "import")(import_model)
    app.add_typer(_imports, name="imports")


@dataclass(frozen=True)
class ImportOptions:
    """How a model is imported."""

    model_id: Annotated[
        str, typer.Option("--name", "--id", help="Name of the model; by default made from the source.")
    ] = ""
    base: Annotated[str, typer.Option(help="Version that an adapter is loaded on; by default by its settings.")] = ""
    secret: Annotated[str, typer.Option(help="Name of the secret that holds a token for the source.")] = ""
    upload: Annotated[bool, typer.Option("--upload", help="Send the files at the path to the gateway.")] = False
    detach: Annotated[bool, typer.Option("--detach", help="Don't wait for the end.")] = False


def import_model(
    source: Annotated[str, typer.Argument(help=_SOURCE_HELP)],
    common: Common,
    options: ImportOptions,
    follow_it: Follow = True,
) -> None:
    """Import a model from a hub, a registry, an address, a path of the registry's machine, or this machine."""
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        more: Document = {"base_model_version_id": options.base, "secret": options.secret}
        if options.upload:
            more["artifact"] = send_model(gateway, Path(source).expanduser(), on)
        model_import = start_import(gateway, source, options.model_id, **more)
        if follow_it and not options.detach:
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


@listing(_imports)
@command(_imports, "list")
def list_imports(common: Common) -> None:
    """List imports, newest first."""
    with connected(common) as gateway:
        imports = gateway.every("/imports", "imports")
        show(imports, as_json=common.as_json, table=lambda: _print(imports))


def start_import(gateway: Gateway, source: str, model_id: str = "", **more: Any) -> Document:
    """Start an import and return its document; `more` are further fields of it."""
    place = read_source(source)
    body: Document = {"model_id": model_id or place.model_id, **{name: value for name, value in more.items() if value}}
    if "artifact" not in body:
        path = Path(place.value).expanduser()
        is_folder = place.field == "gguf_path" and path.is_dir()
        field = "folder_path" if is_folder else place.field
        body[field] = str(path.absolute()) if field in ("gguf_path", "folder_path") else place.value
    document: Document = gateway.post("/imports", body)["model_import"]
    return document


def import_progress(gateway: Gateway, import_id: str) -> Progress:
    """Return how far an import has come."""
    return job_progress(gateway.get(f"/imports/{import_id}")["model_import"]["job"])


add_show_command(_imports, "/imports", "Show an import: its source, how far it is, and what it made.")
add_job_commands(
    _imports, "/imports", import_progress, {"cancel": "Cancel an import; what it fetched is removed with it."}
)


def _print(documents: list[Document]) -> None:
    rows = (
        (
            document["import_id"],
            document["model_id"],
            _place(document.get("source") or {}),
            state_of(document["job"]),
            document["model_version_id"],
        )
        for document in documents
    )
    print_table("Imports", ("import", "model", "source", "state", "version"), rows, empty="No import yet.")


def _place(source: Document) -> str:
    (value,) = list(source.values())[:1] or ("",)
    return str(value["uri"] if isinstance(value, dict) else value)
