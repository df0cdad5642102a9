"""The page of training jobs: train a model on a dataset, and watch and steer how it goes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import gradio as gr
from drillyard.registry.v1.dataset_pb2 import DeleteDatasetVersionRequest
from drillyard.trainer.v1.preflight_pb2 import PreflightTrainingJobRequest, TrainingPreflight
from drillyard.trainer.v1.training_job_pb2 import CreateTrainingJobRequest

from services.chassis.errors import FailedPrecondition, ServiceError
from ui.models.actions import read_datasets, read_models
from ui.shared import parts
from ui.shared.cache import ServiceCache, done_notice, html_or_notice, notice
from ui.shared.dependants import deleting
from ui.shared.environment import render
from ui.shared.fields import Values
from ui.training_jobs.actions import LOOK_SECONDS, NUM_RECENT, act, read_training_job, recent_training_jobs
from ui.training_jobs.comparing import CompareBox
from ui.training_jobs.form import TrainForm, train_form
from ui.training_jobs.preflight import preflight_view

_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def build(cache: ServiceCache) -> None:
    """Build the page."""
    parts.frame("Training jobs", "Train a model on a dataset, such as one that a loop has built from its mistakes.")
    chosen, shown = gr.State(""), gr.State({})
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300):
            fork_notice = parts.area("train-fork")
            form = train_form()
            jobs = parts.area("training-jobs")
            comparing = CompareBox(cache)
            datasets = parts.area("training-datasets")
        with gr.Column(scale=9, min_width=520):
            message = parts.area("train-message")
            preflight = parts.area("train-preflight")
            actions = parts.area("training-actions")
            comparing.build_result()
            job = parts.area("training-job", waits=True)
    page = _Page(cache, form, chosen=chosen, message=message, fork_notice=fork_notice)
    areas = [jobs, datasets, actions, job, shown]
    loaded = parts.root().load(page.open, None, [form.model, form.dataset, chosen], **_QUIET)
    loaded.then(page.refresh, [chosen, shown], areas, **_QUIET)
    parts.keep_fresh(cache, page.refresh, [chosen, shown], areas)
    started = form.start.click(page.start, form.components(), [chosen, message, preflight], **_QUIET)
    started.then(page.refresh, [chosen, shown], areas, **_QUIET)
    choices = [form.fields.components[name].input for name in ("method", "trained_weights")]
    gr.on(choices, form.visibility, form.components(), list(form.groups.values()), **_QUIET)
    looks = [form.look.click, form.line.submit, form.model.input, form.dataset.input, *choices]
    gr.on(looks, page.look, form.components(), [preflight, message], trigger_mode="always_last", **_QUIET)
    jobs.select(parts.picked, None, [chosen], **_QUIET).then(page.refresh, [chosen, shown], areas, **_QUIET)
    filled = [*(form.components() - {form.line}), *form.groups.values()]
    dropped = datasets.select(page.drop_dataset, None, [form.dataset, message], **_QUIET)
    dropped.then(page.refresh, [chosen, shown], areas, **_QUIET)
    for area in (actions, job, fork_notice):
        done = area.select(page.act, [chosen], [chosen, message, fork_notice, *filled], **_QUIET)
        done.then(page.refresh, [chosen, shown], areas, **_QUIET)


class _Page:
    def __init__(
        self, cache: ServiceCache, form: TrainForm, *, chosen: gr.State, message: gr.HTML, fork_notice: gr.HTML
    ) -> None:
        self._cache = cache
        self._form = form
        self._chosen = chosen
        self._message = message
        self._fork_notice = fork_notice

    async def open(self, request: gr.Request) -> list[Any]:
        try:
            versions = [model.model_version_id for model in await self._cache.read(read_models) if model.is_trainable]
            datasets = [dataset.dataset_version_id for dataset in await self._cache.read(read_datasets)]
        except ServiceError:
            versions, datasets = [], []
        return [
            parts.choices(versions, parts.query(request, "model")),
            parts.choices(datasets, parts.query(request, "dataset")),
            parts.query(request, "job"),
        ]

    async def look(self, values: Values) -> AsyncIterator[list[Any]]:
        """Show what is known of the training, again and again until all rows were looked at."""
        if not values[self._form.model] or not values[self._form.dataset]:
            yield ["", ""]
            return
        is_whole = False
        while not is_whole:
            try:
                preflight = await self._preflight(values)
            except ServiceError as error:
                yield ["", notice(error, "train")]
                return
            view = preflight_view(preflight)
            yield [render("training_jobs/preflight", one=view), ""]
            is_whole = view.is_whole

    async def start(self, values: Values) -> list[Any]:
        try:
            preflight = await self._preflight(values)
            if preflight.refusals:
                html = render("training_jobs/preflight", one=preflight_view(preflight))
                return [gr.skip(), notice(FailedPrecondition("This cannot start.", "See why below.")), html]
            request = CreateTrainingJobRequest(spec=self._form.spec(values))
            begun = (await self._cache.clients.trainer.CreateTrainingJob(request)).training_job
        except ServiceError as error:
            return [gr.skip(), notice(error, "train"), gr.skip()]
        self._cache.forget()
        return [begun.training_job_id, done_notice("The training has begun."), ""]

    async def _preflight(self, values: Values) -> TrainingPreflight:
        request = PreflightTrainingJobRequest(spec=self._form.spec(values), line=int(values[self._form.line] or 0))
        return (await self._cache.clients.trainer.PreflightTrainingJob(request, timeout=LOOK_SECONDS)).preflight

    async def act(self, chosen: str, event: gr.EventData) -> dict[Any, Any]:
        """Do what was clicked: a verb, and for a checkpoint its step."""
        verb, _, step = parts.picked(event).partition(" ")
        if verb == "unfork":
            return {self._fork_notice: "", self._form.fork: ()}
        try:
            sentence = await act(self._cache.clients, verb, chosen, int(step or 0))
            if verb == "fork":
                return await self._forking(chosen, int(step))
        except ServiceError as error:
            return {self._message: notice(error)}
        self._cache.forget()
        told: dict[Any, Any] = {self._message: done_notice(sentence, tone="warn" if verb == "cancel" else "good")}
        return told | ({self._chosen: ""} if verb == "delete" else {})

    async def drop_dataset(self, event: gr.EventData) -> list[Any]:
        """Delete the dataset version whose button was clicked, unless something refers to it."""
        version_id = parts.picked(event)
        request = DeleteDatasetVersionRequest(dataset_version_id=version_id)
        try:
            await deleting(lambda clients: clients.registry.DeleteDatasetVersion)(self._cache.clients, request)
            self._cache.forget()
            names = [dataset.dataset_version_id for dataset in await self._cache.read(read_datasets)]
        except ServiceError as error:
            return [gr.skip(), notice(error)]
        return [parts.choices(names, ""), done_notice(f"{version_id} is deleted.", tone="warn")]

    async def _forking(self, chosen: str, step: int) -> dict[Any, Any]:
        spec = (await self._cache.read(read_training_job, chosen)).spec
        return {
            **self._form.filled(spec),
            self._form.fork: (chosen, step),
            self._fork_notice: render("training_jobs/fork", job_id=chosen, step=step),
            self._message: done_notice("Change what shall be different, and start.", tone="good"),
        }

    async def refresh(self, chosen: str, shown: dict[str, int]) -> list[Any]:
        jobs = await html_or_notice(self._jobs(chosen))
        datasets = await html_or_notice(self._datasets())
        try:
            training_job = await self._cache.read(read_training_job, chosen) if chosen else None
            html = render("training_jobs/training_job", one=training_job)
        except ServiceError as error:
            training_job, html = None, notice(error)
        actions = render("training_jobs/actions", one=training_job)
        return [*parts.changed(shown, jobs=jobs, datasets=datasets, actions=actions, job=html), shown]

    async def _jobs(self, chosen: str) -> str:
        jobs = await self._cache.read(recent_training_jobs)
        return render("training_jobs/training_jobs", jobs=jobs, picked=chosen)

    async def _datasets(self) -> str:
        return render("training_jobs/datasets", datasets=(await self._cache.read(read_datasets))[:NUM_RECENT])
