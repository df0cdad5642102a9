"""`drillyard datasets`: what models learn from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from drillyard.feedback.v1.dataset_build_pb2 import DatasetBuildSpec
from drillyard.registry.v1.dataset_file_pb2 import DatasetSource
from drillyard.registry.v1.dataset_pb2 import ListDatasetRowsRequest
from drillyard.trainer.v1.preflight_pb2 import TrainingPreflight
from google.protobuf.json_format import ParseDict

from ui.cli.connection import Document, Gateway, GatewayError
from ui.cli.fields import FieldOptions
from ui.cli.follow import Display, Progress, display, follow, job_progress
from ui.cli.jobs import add_delete_command, refuse_failed
from ui.cli.options import Common, Follow, command, listing
from ui.cli.output import connected, print_table, show
from ui.evaluations.feedback.commands import downloaded
from ui.models.exports.commands import Place, publish
from ui.models.sending import send_files
from ui.training_jobs.commands import look
from ui.training_jobs.preflight import token_facts

app = typer.Typer(help="Read, build, check and change what models learn from.")
Version = Annotated[str, typer.Argument(metavar="DATASET", help="A dataset version, or a dataset for its newest.")]
File = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, help="JSON lines, a JSON array or Parquet, of any size.")
]
FileForm = Literal["rows", "messages", "parquet"]
SourceOptions = Annotated[
    Document, FieldOptions(DatasetSource, (), {"profile_id": "profile", "validation_share": "validation"})
]
Filters = Annotated[Document, FieldOptions(ListDatasetRowsRequest, ("dataset_version_id", "page_size", "page_token"))]
Recipe = Annotated[
    Document,
    FieldOptions(
        DatasetBuildSpec,
        ("dataset_id",),
        {
            "profile_id": "profile",
            "model_version_id": "model",
            "replay_share": "replay",
            "validation_share": "validation",
            "material_test_suite_version_ids": "material",
            "evaluation_ids": "evaluation",
            "chat_dataset_version_id": "chat",
        },
    ),
]


@listing(app)
@command(app, "list")
def list_datasets(common: Common) -> None:
    """List dataset versions, newest first."""
    with connected(common) as gateway:
        versions = gateway.every("/datasets", "dataset_versions", limit=200)
        rows = [
            (
                item["dataset_version_id"],
                item["num_train_examples"],
                item["num_validation_examples"],
                item["produced_by"],
            )
            for item in versions
        ]
        columns = ("dataset", "train", "validation", "made by")
        empty = "No dataset yet. Build one with `drillyard datasets from-feedback NAME`."
        show(versions, as_json=common.as_json, table=lambda: print_table("", columns, rows, empty=empty))


@command(app, "show")
def show_dataset(
    version: Version,
    common: Common,
    model: Annotated[str, typer.Option(help="A model version whose tokenizer counts the tokens.")] = "",
) -> None:
    """Show what a dataset version is made of; with a model how many tokens its rows have, and how many are trained."""
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        mix = gateway.get(f"/datasets/{version}/mix")
        if model:
            method = f"TRAINING_METHOD_{'DPO' if mix['num_pairs'] else 'SFT'}"
            body = {"model_version_id": model, "dataset_version_id": version, "method": method}
            mix["preflight"] = look(gateway, body, 0, on)
        show(mix, as_json=common.as_json, table=lambda: print_mix(mix))


@command(app, "rows")
def rows(version: Version, filters: Filters, common: Common) -> None:
    """List the rows of a dataset version; with --json whole."""
    with connected(common) as gateway:
        listed = gateway.every(f"/datasets/{version}/rows", "dataset_rows", limit=200, **filters)
        columns = ("line", "row", "split", "tool", "reason", "cause")
        cells = [
            (row["line"], row["example_id"], row["split"], row["tool"], row["reason"], row["cause"]) for row in listed
        ]
        show(listed, as_json=common.as_json, table=lambda: print_table("", columns, cells, empty="No row fits."))


@command(app, "import")
def import_dataset(
    dataset_id: Annotated[str, typer.Argument(metavar="DATASET", help="The dataset that gets the version.")],
    file: File,
    source: SourceOptions,
    common: Common,
) -> None:
    """Register a file as a dataset version: JSON lines, a JSON array or Parquet, of rows, chats or preference pairs."""
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        body = {"dataset_id": dataset_id, **source, "artifact": _sent(gateway, file, on)}
        path = f"/dataset-imports/{gateway.post('/dataset-imports', body)['dataset_import']['dataset_import_id']}"
        follow("Import", lambda: job_progress(gateway.get(path)["dataset_import"]["job"]), on)
        made = gateway.get(path)["dataset_import"]
        refuse_failed(made["job"], as_json=common.as_json)
        version = gateway.get(f"/datasets/{made['dataset_version_id']}")["dataset_version"]
        sentence = _registered(version, made["num_skipped"])
        show(version, as_json=common.as_json, table=lambda: print(sentence))


@command(app, "validate")
def validate(file: File, source: SourceOptions, common: Common) -> None:
    """Say which rows of a file cannot be used; nothing is registered."""
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        result = gateway.post("/datasets/validate-upload", {**source, "artifact": _sent(gateway, file, on)})
        show(result, as_json=common.as_json, table=lambda: _print_faults(result))
    if result["num_faults"]:
        raise typer.Exit(1)


@command(app, "export")
def export(
    version: Version,
    common: Common,
    out: Annotated[Path, typer.Option("--out", help="File or folder; by default the name it has.")] = Path(),
    form: Annotated[FileForm, typer.Option("--form", help="Rows as they are, OpenAI's messages, or Parquet.")] = "rows",
) -> None:
    """Write a dataset version to a file."""
    with connected(common) as gateway:
        path = downloaded(gateway, f"/datasets/{version}/export", out, {"form": form})
        show({"path": str(path)}, as_json=common.as_json, table=lambda: print(f"The dataset is {path}"))


@command(app, "publish")
def publish_dataset(
    version: Version,
    place: Place,
    common: Common,
    form: Annotated[FileForm, typer.Option("--form", help="As for export.")] = "parquet",
    follow_it: Follow = True,
) -> None:
    """Publish a dataset version, each split in a file beside a card: to folder:/PATH or hf:OWNER/NAME."""
    fields = {"dataset_version_id": version, "dataset_form": f"DATASET_FILE_FORM_{form.upper()}"}
    publish(version, fields, place, common, follow_it=follow_it)


@command(app, "revise")
def revise(
    version: Version,
    common: Common,
    drop: Annotated[list[str] | None, typer.Option(help="A row to leave out; repeatable.")] = None,
    edit: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="JSONL: rows to put in.")] = None,
) -> None:
    """Register a version that is another one with rows dropped or edited."""
    with connected(common) as gateway:
        try:
            edited = [line for line in edit.read_text(encoding="utf-8").splitlines() if line.strip()] if edit else []
        except UnicodeDecodeError:
            raise GatewayError("INVALID_ARGUMENT", f"{edit} is not UTF-8.", "Save it as UTF-8.") from None
        body = {"dropped_example_ids": drop or [], "edited_documents": edited}
        revised = gateway.post(f"/datasets/{version}/revise", body)["dataset_version"]
        show(revised, as_json=common.as_json, table=lambda: print(f"{revised['dataset_version_id']} is registered."))


@command(app, "from-feedback")
def from_feedback(
    dataset_id: Annotated[str, typer.Argument(metavar="DATASET", help="The dataset that gets the version.")],
    recipe: Recipe,
    common: Common,
    follow_it: Follow = True,
) -> None:
    """Build a dataset version from what people said of answers, or of prompts whose rollouts differ."""
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        build = gateway.post("/dataset-builds", {**recipe, "dataset_id": dataset_id})["dataset_build"]
        build_id = build["dataset_build_id"]
        if follow_it:
            follow("Build", lambda: _progress(gateway, build_id), on)
            build = gateway.get(f"/dataset-builds/{build_id}")["dataset_build"]
            refuse_failed(build["job"], as_json=common.as_json)
        show(build, as_json=common.as_json, table=lambda: _print_build(build))


add_delete_command(app, "/datasets", "Delete one dataset version that nothing refers to.")


def print_mix(mix: Document) -> None:
    """Print what a dataset version is made of."""
    version = mix["dataset_version"]
    print(f"{version['dataset_version_id']}, made by {version['produced_by'] or 'hand'}; {mix['num_pairs']} pairs.")
    cells = [
        (part["respect"], part["name"] or "(none)", part["num_rows"], part["num_characters"]) for part in mix["parts"]
    ]
    print_table("", ("by", "name", "rows", "characters"), cells, empty="It has no row.")
    if "preflight" in mix:
        facts = token_facts(ParseDict(mix["preflight"], TrainingPreflight()))
        print_table("", ("", ""), facts, empty="No row could be read.")


def _progress(gateway: Gateway, build_id: str) -> Progress:
    return job_progress(gateway.get(f"/dataset-builds/{build_id}")["dataset_build"]["job"])


def _print_build(build: Document) -> None:
    print("\n".join(build["sentences"]))
    print(f"{build['dataset_build_id']}: {build['dataset_version_id'] or 'not registered yet'}")


def _sent(gateway: Gateway, file: Path, on: Display) -> Document:
    return send_files(gateway, {"rows": file}, on, as_file=True)


def _registered(version: Document, num_skipped: int) -> str:
    counts = f"{version['num_train_examples']} rows to train, {version['num_validation_examples']} to validate"
    return f"{version['dataset_version_id']} is registered: {counts}{f', {num_skipped} left out' * bool(num_skipped)}."


def _print_faults(result: Document) -> None:
    print(f"{result['num_rows']} rows can be used, {result['num_faults']} cannot.")
    print("\n".join(fault["problem"] for fault in result["faults"]))
