"""`drillyard training-jobs`: fine-tune a model on a dataset."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer
from drillyard.trainer.v1.training_spec_pb2 import TrainingJobSpec

from ui.cli.connection import Document, Gateway
from ui.cli.fields import FieldOptions
from ui.cli.follow import Progress, display, follow, job_progress
from ui.cli.jobs import add_delete_command, add_job_commands, refuse_failed, state_of
from ui.cli.options import Common, Follow, command, listing
from ui.cli.output import connected, print_facts, print_table, show

app = typer.Typer(help="Fine-tune a model on a dataset.")
JobId = Annotated[str, typer.Argument(help="A training job.")]
Settings: TypeAlias = Annotated[
    Document, FieldOptions(TrainingJobSpec, ("model_version_id", "dataset_version_id"), {"lora.r": "rank"})
]


@command(app, "start")
def start(
    model: Annotated[str, typer.Argument(help="A model version, or a model for its newest.")],
    dataset: Annotated[str, typer.Argument(help="A dataset version; `drillyard training-jobs datasets` lists them.")],
    settings: Settings,
    common: Common,
    follow_it: Follow = True,
) -> None:
    """Start a training job."""
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        body = {**settings, "model_version_id": model, "dataset_version_id": dataset}
        job = gateway.post("/training-jobs", body)["training_job"]
        job_id = job["training_job_id"]
        if follow_it:
            follow(f"Train {model}", lambda: training_progress(gateway, job_id), on)
            job = gateway.get(f"/training-jobs/{job_id}")["training_job"]
            refuse_failed(job["job"], as_json=common.as_json)
        version = job["model_version_id"]
        sentence = f"{job_id} made {version}." if version else f"{job_id} has begun."
        show(job, as_json=common.as_json, table=lambda: on.say(sentence))


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
    app, "/training-jobs", training_progress, {"cancel": "Cancel a training job; its checkpoints are kept."}
)
