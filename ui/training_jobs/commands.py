"""`drillyard train`: fine-tune a model on a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from ui.cli.connection import Document, Gateway
from ui.cli.follow import Moment, display, follow, job_moment
from ui.cli.options import Common, Follow, command, listing
from ui.cli.output import connected, print_events, print_table, show
from ui.models.commands import print_facts, refuse_failed

app = typer.Typer(help="Fine-tune a model on a dataset.")
JobId = Annotated[str, typer.Argument(help="A training job.")]


@dataclass(frozen=True)
class TrainingOptions:
    """How to train."""

    epochs: Annotated[int, typer.Option(help="Passes over the train split.")] = 1
    batch_size: Annotated[int, typer.Option(help="Examples per step.")] = 8
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-3
    rank: Annotated[int, typer.Option(help="LoRA rank; its scale is twice as much.")] = 16
    workers: Annotated[int, typer.Option(help="Ray Train workers.")] = 1
    seed: Annotated[int, typer.Option(help="Seed of initialisation and order.")] = 0
    max_tokens_per_pack: Annotated[int, typer.Option(help="Longest row in tokens; 0 means 6144.")] = 0

    def body(self, model: str, dataset: str) -> Document:
        """Return the request that trains `model` on `dataset`."""
        return {
            "model_version_id": model,
            "dataset_version_id": dataset,
            "num_epochs": self.epochs,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "lora": {"r": self.rank},
            "num_workers": self.workers,
            "seed": self.seed,
            "max_tokens_per_pack": self.max_tokens_per_pack,
        }


@command(app, "start")
def start(
    model: Annotated[str, typer.Argument(help="A model version, or a model for its newest.")],
    dataset: Annotated[str, typer.Argument(help="A dataset version; `drillyard train datasets` lists them.")],
    options: TrainingOptions,
    common: Common,
    follow_it: Follow = True,
) -> None:
    """Start a training job."""
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        one = gateway.post("/training-jobs", options.body(model, dataset))["training_job"]
        job_id = one["training_job_id"]
        if follow_it:
            follow(f"Train {model}", lambda: training_moment(gateway, job_id), on)
            one = gateway.get(f"/training-jobs/{job_id}")["training_job"]
            refuse_failed(one["job"], as_json=common.as_json)
        made = f"{job_id} made {one['model_version_id']}." if one["model_version_id"] else f"{job_id} has begun."
        show(one, as_json=common.as_json, table=lambda: on.say(made))


@listing(app)
@command(app, "list")
def list_jobs(common: Common) -> None:
    """List the newest training jobs."""
    with connected(common) as gateway:
        found = gateway.every("/training-jobs", "training_jobs", limit=50)
        rows = (
            (
                one["training_job_id"],
                one["spec"]["model_version_id"],
                one["spec"]["dataset_version_id"],
                one["job"]["state"].removeprefix("JOB_STATE_").lower(),
                one["model_version_id"],
            )
            for one in found
        )
        columns = ("job", "model", "dataset", "state", "result")
        none = "No training job yet. Start one with `drillyard train start MODEL DATASET`."
        show(found, as_json=common.as_json, table=lambda: print_table("Training jobs", columns, rows, empty=none))


@command(app, "datasets")
def list_datasets(common: Common) -> None:
    """List the dataset versions."""
    with connected(common) as gateway:
        found = gateway.every("/datasets", "dataset_versions")
        fields = ("dataset_version_id", "num_train_examples", "num_validation_examples", "produced_by")
        rows = [[one[name] for name in fields] for one in found]
        columns = ("version", "train", "validation", "made by")
        none = "No dataset yet. A loop makes one from what a model gets wrong."
        show(found, as_json=common.as_json, table=lambda: print_table("Datasets", columns, rows, empty=none))


@command(app, "show")
def show_job(job_id: JobId, common: Common) -> None:
    """Show one training job with its settings and attempts."""
    with connected(common) as gateway:
        one = gateway.get(f"/training-jobs/{job_id}")["training_job"]
        show(one, as_json=common.as_json, table=lambda: print_facts(one))


@command(app, "watch")
def watch(job_id: JobId, common: Common) -> None:
    """Follow a training job; with --json every event is a line."""
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        if common.as_json:
            print_events(gateway, f"/training-jobs/{job_id}/events")
            return
        follow(job_id, lambda: training_moment(gateway, job_id), on)


@command(app, "cancel")
def cancel(job_id: JobId, common: Common) -> None:
    """Cancel a training job; its checkpoints are kept."""
    with connected(common) as gateway:
        one = gateway.post(f"/training-jobs/{job_id}/cancel")["training_job"]
        show(one, as_json=common.as_json, table=lambda: print(f"{job_id} is {job_moment(one['job']).text}."))


def training_moment(gateway: Gateway, job_id: str) -> Moment:
    """Return how far a training job has come, with its newest loss."""
    one = gateway.get(f"/training-jobs/{job_id}")["training_job"]
    points = gateway.every(f"/training-jobs/{job_id}/curve-points", "curve_points", metric="loss")
    note = f"loss {points[-1]['value']:.3f}" if points else ""
    return job_moment(one["job"], note)
