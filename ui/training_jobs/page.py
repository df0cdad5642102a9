"""The page of training jobs: fine-tune a model on a dataset and watch its curves."""

from __future__ import annotations

from typing import Any

import gradio as gr
from drillyard.trainer.v1.training_job_pb2 import (
    CancelTrainingJobRequest,
    CreateTrainingJobRequest,
    DeleteTrainingJobRequest,
)
from drillyard.trainer.v1.training_spec_pb2 import TrainingJobSpec

from services.chassis.errors import InvalidArgument, ServiceError
from ui.models.actions import read_datasets, read_models
from ui.shared import parts
from ui.shared.cache import ServiceCache, done_notice, html_or_notice, notice
from ui.shared.dependants import deleting
from ui.shared.environment import render
from ui.shared.fields import FieldForm, Values
from ui.training_jobs.actions import read_training_job, recent_training_jobs


def build(cache: ServiceCache) -> None:
    """Build the page."""
    parts.frame("Training jobs", "Fine-tune a model on a dataset that a loop has built from what the model gets wrong.")
    chosen, shown = gr.State(""), gr.State({})
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300):
            model, dataset, fields, start = _form()
            jobs = parts.area("training-jobs")
        with gr.Column(scale=9, min_width=520):
            message = parts.area("train-message")
            cancel = gr.Button(
                "Cancel this job", visible=False, elem_id="train-cancel", elem_classes="dy-cancel", size="sm"
            )
            delete = gr.Button(
                "Delete this job", visible=False, elem_id="train-delete", elem_classes="dy-cancel", size="sm"
            )
            job = parts.area("training-job", waits=True)
    page = _Page(cache, model, dataset, fields)
    areas = [jobs, job, cancel, delete, shown]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    loaded = parts.root().load(page.open, None, [model, dataset, chosen], **quiet)
    loaded.then(page.refresh, [chosen, shown], areas, **quiet)
    gr.Timer(parts.TICK_SECONDS).tick(page.refresh, [chosen, shown], areas, **quiet)
    started = start.click(page.start, {model, dataset, *fields.components.values()}, [chosen, message], **quiet)
    started.then(page.refresh, [chosen, shown], areas, **quiet)
    jobs.select(parts.picked, None, [chosen], **quiet).then(page.refresh, [chosen, shown], areas, **quiet)
    cancel.click(page.cancel, [chosen], [message], **quiet)
    deleted = delete.click(page.delete, [chosen], [chosen, message], **quiet)
    deleted.then(page.refresh, [chosen, shown], areas, **quiet)


def _form() -> tuple[gr.Dropdown, gr.Dropdown, FieldForm, gr.Button]:
    fields = FieldForm("train", TrainingJobSpec)
    with gr.Column(elem_classes="dy-form"):
        model = gr.Dropdown([], label="Model", elem_id="train-model")
        dataset = gr.Dropdown([], label="Dataset", elem_id="train-dataset")
        fields.add("num_epochs", "batch_size", "learning_rate", "seed")
        with gr.Accordion("LoRA and workers", open=False, elem_id="train-more"):
            fields.add("lora.r", "lora.lora_alpha", "num_workers", "max_tokens_per_pack")
        start = gr.Button("Start training", variant="primary", elem_id="train-start")
    return model, dataset, fields, start


class _Page:
    def __init__(self, cache: ServiceCache, model: gr.Dropdown, dataset: gr.Dropdown, fields: FieldForm) -> None:
        self._cache = cache
        self._model = model
        self._dataset = dataset
        self._fields = fields

    async def open(self, request: gr.Request) -> list[Any]:
        try:
            versions = [model.model_version_id for model in await self._cache.read(read_models)]
            datasets = [dataset.dataset_version_id for dataset in await self._cache.read(read_datasets)]
        except ServiceError:
            versions, datasets = [], []
        return [
            parts.choices(versions, parts.query(request, "model")),
            parts.choices(datasets, parts.query(request, "dataset")),
            parts.query(request, "job"),
        ]

    async def start(self, values: Values) -> list[Any]:
        try:
            request = CreateTrainingJobRequest(spec=self._spec(values))
            begun = (await self._cache.clients.trainer.CreateTrainingJob(request)).training_job
        except ServiceError as error:
            return [gr.skip(), notice(error, "train")]
        self._cache.forget()
        return [begun.training_job_id, done_notice("The training has begun.")]

    def _spec(self, values: Values) -> TrainingJobSpec:
        model, dataset = values[self._model], values[self._dataset]
        if not model or not dataset:
            field = "dataset" if model else "model"
            raise InvalidArgument(
                "A model and a dataset are needed.", "Choose both; a loop builds datasets.", field=field
            )
        spec = TrainingJobSpec(model_version_id=model, dataset_version_id=dataset)
        self._fields.fill(spec, values, "spec.")
        return spec

    async def cancel(self, chosen: str) -> str:
        try:
            await self._cache.clients.trainer.CancelTrainingJob(CancelTrainingJobRequest(training_job_id=chosen))
        except ServiceError as error:
            return notice(error)
        self._cache.forget()
        return done_notice("The job is being cancelled; its checkpoints are kept.", tone="warn")

    async def delete(self, chosen: str) -> list[Any]:
        request = DeleteTrainingJobRequest(training_job_id=chosen)
        try:
            await deleting(lambda clients: clients.trainer.DeleteTrainingJob)(self._cache.clients, request)
        except ServiceError as error:
            return [gr.skip(), notice(error)]
        self._cache.forget()
        return ["", done_notice(f"The job {chosen} is deleted; the version that it made stays.", tone="warn")]

    async def refresh(self, chosen: str, shown: dict[str, int]) -> list[Any]:
        jobs = await html_or_notice(self._jobs(chosen))
        try:
            training_job = await self._cache.read(read_training_job, chosen) if chosen else None
            html = render("training_jobs/training_job", one=training_job)
        except ServiceError as error:
            training_job, html = None, notice(error)
        buttons = [
            gr.Button(visible=training_job is not None and training_job.job.is_final is ended)
            for ended in (False, True)
        ]
        return [*parts.changed(shown, jobs=jobs, job=html), *buttons, shown]

    async def _jobs(self, chosen: str) -> str:
        jobs = await self._cache.read(recent_training_jobs)
        return render("training_jobs/training_jobs", jobs=jobs, picked=chosen)
