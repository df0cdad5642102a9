"""`drillyard training-jobs`, in short `drillyard train`: train a model on a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

import typer
from drillyard.trainer.v1.preflight_pb2 import TrainingPreflight
from drillyard.trainer.v1.training_spec_pb2 import TrainingJobSpec
from google.protobuf.json_format import ParseDict

from ui.cli.connection import Document, Gateway
from ui.cli.fields import FieldOptions
from ui.cli.follow import Display, Progress, display, follow, job_progress
from ui.cli.jobs import add_delete_command, add_job_commands, refuse_failed, state_of
from ui.cli.options import Common, Follow, command, listing
from ui.cli.output import connected, fail, print_facts, print_table, show
from ui.shared.words import percent_text, size_text
from ui.training_jobs.preflight import preflight_view

app = typer.Typer(help="Train a model on a dataset: SFT, DPO or GRPO, of an adapter, of all weights or from scratch.")
checkpoints = typer.Typer(help="The checkpoints of a training job.")
app.add_typer(checkpoints, name="checkpoints")
JobId = Annotated[str, typer.Argument(help="A training job.")]
Step = Annotated[int, typer.Argument(min=1, help="The step after which it was taken.")]
_NAMES = {
    "validation_dataset_version_id": "validation",
    "trained_weights": "weights",
    "lora.r": "rank",
    "dpo.beta": "dpo-beta",
    "grpo.beta": "grpo-beta",
    "lr_scheduler_type": "schedule",
    "scratch.num_hidden_layers": "scratch-layers",
    "scratch.num_attention_heads": "scratch-heads",
    "scratch.num_key_value_heads": "scratch-key-heads",
    "scratch.vocab_size": "new-vocab-size",
}
Settings: TypeAlias = Annotated[
    Document, FieldOptions(TrainingJobSpec, ("model_version_id", "dataset_version_id", "fork"), _NAMES)
]
Changes: TypeAlias = Annotated[
    Document,
    FieldOptions(
        TrainingJobSpec,
        ("model_version_id", "fork", "trained_weights", "lora", "scratch"),
        {**_NAMES, "dataset_version_id": "dataset"},
    ),
]


@dataclass(frozen=True)
class Look:
    """What is looked at before a start."""

    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Look at rows, memory, disk and time, and start nothing.")
    ] = False
    line: Annotated[
        int,
        typer.Option("--line", min=0, help="Print the tokens of the row at this line, the trained ones in []."),
    ] = 0


@command(app, "start")
def start(
    model: Annotated[str, typer.Argument(help="A model version, or a model for its newest.")],
    dataset: Annotated[str, typer.Argument(help="A dataset version; `drillyard training-jobs datasets` lists them.")],
    settings: Settings,
    common: Common,
    before: Look,
    follow_it: Follow = True,
) -> None:
    """Start a training job, once its rows were looked at; --dry-run stops there."""
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        body = {**settings, "model_version_id": model, "dataset_version_id": dataset}
        preflight = look(gateway, body, before.line, on)
        if before.dry_run:
            show(preflight, as_json=common.as_json, table=lambda: print_preflight(preflight, before.line))
        if refusals := preflight["refusals"]:
            fail("FAILED_PRECONDITION", " ".join(refusals), "", as_json=common.as_json)
        if not before.dry_run:
            _start(gateway, body, f"Train {model}", on, common=common, follow_it=follow_it)


@command(app, "fork")
def fork(
    job_id: JobId,
    changes: Changes,
    common: Common,
    step: Annotated[int, typer.Option("--step", min=0, help="Of the checkpoint; 0 is the newest.")] = 0,
    follow_it: Follow = True,
) -> None:
    """Start a job with the weights and the optimizer of another's checkpoint; what is not changed stays as there."""
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        spec = gateway.get(f"/training-jobs/{job_id}")["training_job"]["spec"]
        body = _merged(spec, changes) | {"fork": {"training_job_id": job_id, "step": step}}
        _start(gateway, body, f"Fork {job_id}", on, common=common, follow_it=follow_it)


def _start(gateway: Gateway, body: Document, title: str, on: Display, *, common: Common, follow_it: bool) -> None:
    job = gateway.post("/training-jobs", body)["training_job"]
    job_id = job["training_job_id"]
    if follow_it:
        follow(title, lambda: training_progress(gateway, job_id), on)
        job = gateway.get(f"/training-jobs/{job_id}")["training_job"]
        refuse_failed(job["job"], as_json=common.as_json)
    version = job["model_version_id"]
    sentence = f"{job_id} made {version}." if version else f"{job_id} has begun."
    show(job, as_json=common.as_json, table=lambda: on.say(sentence))


def _merged(spec: Document, changes: Document) -> Document:
    """Return a spec with changes, those of the messages in it field by field."""
    return spec | {
        name: _merged(spec[name], value) if isinstance(value, dict) and isinstance(spec.get(name), dict) else value
        for name, value in changes.items()
    }


def look(gateway: Gateway, body: Document, line: int, on: Display) -> Document:
    """Return what is known of a training before it starts, once all rows were looked at."""
    while True:
        preflight: Document = gateway.post("/training-jobs/preflight", {**body, "line": line})["preflight"]
        checked, rows = preflight["num_checked_rows"], preflight["num_rows"]
        if checked >= rows:
            return preflight
        on.show("Preflight", Progress(f"{checked} of about {rows} rows", checked / rows, False))


def print_preflight(document: Document, line: int) -> None:
    """Print what is known of a training, and with a line the tokens of its row."""
    view = preflight_view(ParseDict(document, TrainingPreflight()))
    print_table("", ("", ""), view.facts, empty="")
    for sentence in (*view.faults, *view.overlaps, *view.warnings):
        print(sentence)
    if line and view.row:
        print(f"Line {view.row.line}, example {view.row.example_id}: {view.row.sentence}")
        print("".join(f"[{token.text}]" if token.span else token.text for token in view.row.tokens))
    print(f"{view.title}.")


@listing(app)
@command(app, "list")
def list_jobs(common: Common) -> None:
    """List the newest training jobs."""
    with connected(common) as gateway:
        jobs = gateway.every("/training-jobs", "training_jobs", limit=50)
        rows = [
            (
                job["training_job_id"],
                job["spec"]["model_version_id"],
                job["spec"]["dataset_version_id"],
                state_of(job["job"]),
                job["model_version_id"],
            )
            for job in jobs
        ]
        columns = ("job", "model", "dataset", "state", "result")
        none = "No training job yet. Start one with `drillyard training-jobs start MODEL DATASET`."
        show(jobs, as_json=common.as_json, table=lambda: print_table("Training jobs", columns, rows, empty=none))


add_delete_command(
    app, "/training-jobs", "Delete a job that has ended, with its checkpoints; the version that it made stays."
)
add_delete_command(app, "/datasets", "Delete a dataset version that nothing refers to.", name="delete-dataset")


@command(app, "datasets")
def list_datasets(common: Common) -> None:
    """List the dataset versions."""
    with connected(common) as gateway:
        versions = gateway.every("/datasets", "dataset_versions")
        fields = ("dataset_version_id", "num_train_examples", "num_validation_examples", "produced_by")
        rows = [[version[name] for name in fields] for version in versions]
        columns = ("version", "train", "validation", "made by")
        none = "No dataset yet. A loop makes one from what a model gets wrong."
        show(versions, as_json=common.as_json, table=lambda: print_table("Datasets", columns, rows, empty=none))


@command(app, "show")
def show_job(job_id: JobId, common: Common) -> None:
    """Show one training job with its settings and attempts."""
    with connected(common) as gateway:
        job = gateway.get(f"/training-jobs/{job_id}")["training_job"]
        show(job, as_json=common.as_json, table=lambda: print_facts(job))


def training_progress(gateway: Gateway, job_id: str) -> Progress:
    """Return how far a training job has come, with its newest loss."""
    job = gateway.get(f"/training-jobs/{job_id}")["training_job"]["job"]
    points = gateway.every(f"/training-jobs/{job_id}/curve-points", "curve_points", metric="loss")
    return job_progress(job, f"loss {points[-1]['value']:.3f}" if points else "")


add_job_commands(
    app,
    "/training-jobs",
    training_progress,
    {
        "cancel": "Cancel a training job; its checkpoints are kept.",
        "pause": "Pause a training job after its step; it saves, and frees memory and processes.",
        "resume": "Let a paused training job go on; it ends as it would have without the pause.",
    },
)


@command(checkpoints, "list")
def list_checkpoints(job_id: JobId, common: Common) -> None:
    """List the checkpoints of a job, newest first."""
    with connected(common) as gateway:
        kept = gateway.every(f"/training-jobs/{job_id}/checkpoints", "checkpoints")
        rows = [
            (item["step"], size_text(int(item["size_bytes"])), _score(item), item["create_time"], item["digest"][7:19])
            for item in kept
        ]
        columns = ("step", "size", "adherence", "written", "digest")
        show(kept, as_json=common.as_json, table=lambda: print_table("", columns, rows, empty="No checkpoint yet."))


def _score(checkpoint: Document) -> str:
    return percent_text(checkpoint["score"]) if "score" in checkpoint else ""


@command(checkpoints, "show")
def show_checkpoint(job_id: JobId, step: Step, common: Common) -> None:
    """Show one checkpoint with its files and their digests."""
    with connected(common) as gateway:
        answer = gateway.get(f"/training-jobs/{job_id}/checkpoints/{step}")
        show(answer, as_json=common.as_json, table=lambda: print_facts(answer))


@command(checkpoints, "delete")
def delete_checkpoint(job_id: JobId, step: Step, common: Common) -> None:
    """Delete one checkpoint of a job."""
    with connected(common) as gateway:
        answer = gateway.delete(f"/training-jobs/{job_id}/checkpoints/{step}")
        show(answer, as_json=common.as_json, table=lambda: print(f"The checkpoint of step {step} is deleted."))
