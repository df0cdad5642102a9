"""The page Train: fine-tune a model on a dataset and watch its curves."""

from __future__ import annotations

from typing import Any

import gradio as gr
from drillyard.trainer.v1.training_job_pb2 import (
    CancelTrainingJobRequest,
    CreateTrainingJobRequest,
    LoraConfig,
    TrainingJobSpec,
)

from services.chassis.errors import InvalidArgument, ServiceError
from ui.models.actions import read_datasets, read_models
from ui.shared import parts
from ui.shared.desk import Desk, html_or_notice, notice, said
from ui.shared.environment import render
from ui.training_jobs.actions import read_training_job, recent_training_jobs
from ui.training_jobs.views import TrainingJobView


def build(desk: Desk) -> None:
    """Build the page."""
    parts.frame("Train", "Fine-tune a model on a dataset that a loop has built from what the model gets wrong.")
    page = _Page(desk)
    chosen, shown = gr.State(""), gr.State({})
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300):
            model, dataset, *numbers, start = _form()
            jobs = parts.area("training-jobs")
        with gr.Column(scale=9, min_width=520):
            message = parts.area("train-message")
            cancel = gr.Button(
                "Cancel this job", visible=False, elem_id="train-cancel", elem_classes="dy-cancel", size="sm"
            )
            job = parts.area("training-job", waits=True)
    areas = [jobs, job, cancel, shown]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    loaded = parts.root().load(page.open, None, [model, dataset, chosen], **quiet)
    loaded.then(page.refresh, [chosen, shown], areas, **quiet)
    gr.Timer(parts.TICK_SECONDS).tick(page.refresh, [chosen, shown], areas, **quiet)
    started = start.click(page.start, [model, dataset, *numbers], [chosen, message], **quiet)
    started.then(page.refresh, [chosen, shown], areas, **quiet)
    jobs.select(parts.picked, None, [chosen], **quiet).then(page.refresh, [chosen, shown], areas, **quiet)
    cancel.click(page.cancel, [chosen], [message], **quiet)


def _form() -> list[Any]:
    with gr.Column(elem_classes="dy-form"):
        model = gr.Dropdown([], label="Model", elem_id="train-model")
        dataset = gr.Dropdown([], label="Dataset", elem_id="train-dataset")
        with gr.Row():
            epochs = gr.Number(1, label="Epochs", precision=0, min_width=90, elem_id="train-epochs")
            batch = gr.Number(8, label="Batch size", precision=0, min_width=90, elem_id="train-batch-size")
        with gr.Row():
            rate = gr.Number(1e-3, label="Learning rate", min_width=90, elem_id="train-learning-rate", step=1e-4)
            seed = gr.Number(0, label="Seed", precision=0, min_width=90, elem_id="train-seed")
        with gr.Accordion("LoRA and workers", open=False, elem_id="train-more"):
            rank = gr.Number(16, label="Rank", precision=0, elem_id="train-rank")
            alpha = gr.Number(32, label="Alpha", precision=0, elem_id="train-alpha")
            workers = gr.Number(1, label="Ray Train workers", precision=0, elem_id="train-workers")
        start = gr.Button("Start training", variant="primary", elem_id="train-start")
    return [model, dataset, epochs, batch, rate, seed, rank, alpha, workers, start]


class _Page:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def open(self, request: gr.Request) -> list[Any]:
        try:
            versions = [one.model_version_id for one in await self._desk.read(read_models)]
            datasets = [one.dataset_version_id for one in await self._desk.read(read_datasets)]
        except ServiceError:
            versions, datasets = [], []
        return [
            parts.choices(versions, parts.asked(request, "model")),
            parts.choices(datasets, parts.asked(request, "dataset")),
            parts.asked(request, "job"),
        ]

    async def start(self, model: str | None, dataset: str | None, *numbers: float | None) -> list[Any]:
        try:
            request = CreateTrainingJobRequest(spec=_spec(model, dataset, *numbers))
            begun = (await self._desk.clients.trainer.CreateTrainingJob(request)).training_job
        except ServiceError as error:
            return [gr.skip(), notice(error)]
        self._desk.forget()
        return [begun.training_job_id, said("The training has begun.")]

    async def cancel(self, chosen: str) -> str:
        try:
            await self._desk.clients.trainer.CancelTrainingJob(CancelTrainingJobRequest(training_job_id=chosen))
        except ServiceError as error:
            return notice(error)
        self._desk.forget()
        return said("The job is being cancelled; its checkpoints are kept.", tone="warn")

    async def refresh(self, chosen: str, shown: dict[str, int]) -> list[Any]:
        jobs = await html_or_notice(self._jobs(chosen))
        try:
            one = await self._desk.read(read_training_job, chosen) if chosen else None
            html = render("training_jobs/training_job", one=one)
        except ServiceError as error:
            one, html = None, notice(error)
        return [*parts.changed(shown, jobs=jobs, job=html), gr.Button(visible=_is_live(one)), shown]

    async def _jobs(self, chosen: str) -> str:
        jobs = await self._desk.read(recent_training_jobs)
        return render("training_jobs/training_jobs", jobs=jobs, picked=chosen)


def _is_live(one: TrainingJobView | None) -> bool:
    return bool(one and not one.job.is_final)


def _spec(model: str | None, dataset: str | None, *numbers: float | None) -> TrainingJobSpec:
    if not model or not dataset:
        raise InvalidArgument("A model and a dataset are needed.", "Choose both; a loop builds datasets.")
    epochs, batch, rate, seed, rank, alpha, workers = numbers
    return TrainingJobSpec(
        model_version_id=model,
        dataset_version_id=dataset,
        num_epochs=parts.whole(epochs),
        batch_size=parts.whole(batch),
        learning_rate=rate or 0.0,
        seed=parts.whole(seed),
        lora=LoraConfig(r=parts.whole(rank), lora_alpha=parts.whole(alpha)),
        num_workers=parts.whole(workers),
    )
