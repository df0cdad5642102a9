"""The page of datasets: what a version is made of, its rows, and a row dropped or edited into a new version."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import gradio as gr
from drillyard.feedback.v1.dataset_build_pb2 import (
    CreateDatasetBuildRequest,
    DatasetBuildSpec,
    ListDatasetBuildsRequest,
)
from drillyard.registry.v1.dataset_pb2 import (
    GetDatasetMixRequest,
    ListDatasetRowsRequest,
    ListDatasetVersionsRequest,
    ReviseDatasetVersionRequest,
)
from drillyard.trainer.v1.method_pb2 import TRAINING_METHOD_DPO, TRAINING_METHOD_SFT
from drillyard.trainer.v1.preflight_pb2 import PreflightTrainingJobRequest, TrainingPreflight
from drillyard.trainer.v1.training_spec_pb2 import TrainingJobSpec

from services.chassis.errors import InvalidArgument, ServiceError
from ui.gateway.clients import Clients
from ui.models.actions import read_models
from ui.shared import parts
from ui.shared.cache import ServiceCache, done_notice, html_or_notice, notice
from ui.shared.documents import Document, document
from ui.shared.environment import render
from ui.shared.fields import FieldForm, Values
from ui.shared.jobs import job_view
from ui.training_jobs.actions import LOOK_SECONDS
from ui.training_jobs.datasets.import_box import ImportBox
from ui.training_jobs.datasets.publish_box import PublishBox
from ui.training_jobs.preflight import preflight_view, token_facts

_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_PAGE_SIZE = 25
_NUM_BUILDS = 5
_WHOLE_SECONDS = 120.0


async def read_versions(clients: Clients) -> list[Document]:
    """Return the newest versions."""
    response = await clients.registry.ListDatasetVersions(ListDatasetVersionsRequest(page_size=100))
    return [document(version) for version in response.dataset_versions]


async def read_builds(clients: Clients) -> list[Document]:
    """Return the newest builds with how far they are."""
    response = await clients.feedback.ListDatasetBuilds(ListDatasetBuildsRequest(page_size=_NUM_BUILDS))
    return [{**document(build), "view": job_view(build.job)} for build in response.dataset_builds]


async def read_mix(clients: Clients, version: str) -> Document:
    """Return what a version is made of."""
    return document(
        await clients.registry.GetDatasetMix(GetDatasetMixRequest(dataset_version_id=version), timeout=_WHOLE_SECONDS)
    )


async def read_tokens(clients: Clients, version: str, model: str, has_pairs: bool, line: int) -> TrainingPreflight:
    """Return how many tokens the rows of a version have by a model's tokenizer, and those of the row of a line."""
    method = TRAINING_METHOD_DPO if has_pairs else TRAINING_METHOD_SFT
    spec = TrainingJobSpec(model_version_id=model, dataset_version_id=version, method=method)
    request = PreflightTrainingJobRequest(spec=spec, line=line)
    return (await clients.trainer.PreflightTrainingJob(request, timeout=LOOK_SECONDS)).preflight


async def read_rows(clients: Clients, version: str, reason: str, token: str) -> Document:
    """Return a page of the rows of a version."""
    request = ListDatasetRowsRequest(dataset_version_id=version, reason=reason, page_size=_PAGE_SIZE, page_token=token)
    return document(await clients.registry.ListDatasetRows(request, timeout=_WHOLE_SECONDS))


def build(cache: ServiceCache) -> None:
    """Build the page."""
    parts.frame("Datasets", "What models learn from: what it is made of, row by row, and why each row is there.")
    chosen, row_id, reason, places, shown = gr.State(""), gr.State(""), gr.State(""), gr.State([""]), gr.State({})
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300):
            form = FieldForm("dataset", DatasetBuildSpec)
            with gr.Column(elem_classes="dy-form"):
                form.add("dataset_id", "profile_id", "form", "replay_share", "validation_share", "tag")
                form.add("material_test_suite_version_ids", "evaluation_ids", "chat_dataset_version_id", "chat_share")
                start = gr.Button("Build from feedback", variant="primary", elem_id="dataset-start")
            imports, publishing = ImportBox(cache), PublishBox(cache)
            datasets = parts.area("datasets")
        with gr.Column(scale=9, min_width=520):
            message = parts.area("dataset-message")
            mix = parts.area("dataset-mix", waits=True)
            model = gr.Dropdown([""], value="", label="Count tokens by the tokenizer of", elem_id="dataset-model")
            rows, mask = parts.area("dataset-rows"), parts.area("dataset-mask")
            with gr.Column(visible=False, elem_classes="dy-form") as editor:
                text = gr.Textbox(label="The row, as JSON", lines=16, max_length=1_000_000, elem_id="dataset-row")
                save = gr.Button("Save as a new version", size="sm", elem_id="dataset-save")
                drop = gr.Button("Drop it into a new version", size="sm", elem_classes="dy-cancel")
    page = _Page(cache, form, imports, publishing)
    state = [chosen, row_id, reason, places, shown]
    areas, seen = [imports.imports, publishing.publications, datasets, mix, rows, mask, shown], [*state, model]
    parts.root().load(page.open, None, [chosen, model], **_QUIET).then(page.refresh, seen, areas, **_QUIET)
    model.change(page.refresh, seen, areas, **_QUIET)
    parts.keep_fresh(cache, page.refresh, seen, areas, seconds=2 * parts.TICK_SECONDS)
    started = start.click(page.start, set(form.components.values()), [message], **_QUIET)
    started.then(page.refresh, seen, areas, **_QUIET)
    imports.wire(page.refresh, seen, areas)
    publishing.wire(chosen, page.refresh, seen, areas)
    opened = datasets.select(page.choose, None, [chosen, row_id, reason, places, editor], **_QUIET)
    opened.then(page.refresh, seen, areas, **_QUIET)
    mix.select(page.narrow, None, [reason, places], **_QUIET).then(page.refresh, seen, areas, **_QUIET)
    read = rows.select(page.read, state, [row_id, places, text, editor], **_QUIET)
    read.then(page.refresh, seen, areas, **_QUIET)
    for button, action in ((save, page.save), (drop, page.drop)):
        changed = button.click(action, [chosen, row_id, text], [message, chosen, editor], **_QUIET)
        changed.then(page.refresh, seen, areas, **_QUIET)


class _Page:
    def __init__(self, cache: ServiceCache, form: FieldForm, imports: ImportBox, publishing: PublishBox) -> None:
        self._cache = cache
        self._form = form
        self._imports = imports
        self._publishing = publishing

    async def open(self, request: gr.Request) -> list[Any]:
        try:
            models = [model.model_version_id for model in await self._cache.read(read_models)]
        except ServiceError:
            models = []
        return [parts.query(request, "dataset"), gr.Dropdown(choices=["", *models], value="")]

    async def start(self, values: Values) -> str:
        try:
            spec = DatasetBuildSpec()
            self._form.fill(spec, values, "spec.")
            await self._cache.clients.feedback.CreateDatasetBuild(CreateDatasetBuildRequest(spec=spec))
        except ServiceError as error:
            return notice(error, "dataset")
        self._cache.forget()
        return done_notice("The build has begun.")

    def choose(self, event: gr.EventData) -> list[Any]:
        return [parts.picked(event), "", "", [""], gr.Column(visible=False)]

    def narrow(self, event: gr.EventData) -> list[Any]:
        return [parts.picked(event).removeprefix("reason:"), [""]]

    async def read(
        self, chosen: str, row_id: str, reason: str, places: list[str], shown: Any, event: gr.EventData
    ) -> list[Any]:
        name, _, token = parts.picked(event).partition(" ")
        if name == "page:next":
            return [row_id, [*places, token], gr.skip(), gr.skip()]
        if name == "page:previous":
            return [row_id, places[:-1] or [""], gr.skip(), gr.skip()]
        page = await self._cache.read(read_rows, chosen, reason, places[-1])
        row = next((row for row in page["dataset_rows"] if row["example_id"] == parts.picked(event)), None)
        text = json.dumps(json.loads(row["document"]), indent=1, ensure_ascii=False) if row else ""
        return [parts.picked(event), places, text, gr.Column(visible=row is not None)]

    async def save(self, chosen: str, row_id: str, text: str) -> list[Any]:
        try:
            return await self._revised(chosen, edited_documents=[json.dumps(json.loads(text), ensure_ascii=False)])
        except ValueError as error:
            problem = InvalidArgument(f"The row is not JSON: {error}.", "Correct it.")
            return [notice(problem), gr.skip(), gr.skip()]

    async def drop(self, chosen: str, row_id: str, text: str) -> list[Any]:
        return await self._revised(chosen, dropped_example_ids=[row_id])

    async def _revised(self, chosen: str, **changes: Any) -> list[Any]:
        request = ReviseDatasetVersionRequest(dataset_version_id=chosen, **changes)
        try:
            revised = await self._cache.clients.registry.ReviseDatasetVersion(request, timeout=_WHOLE_SECONDS)
        except ServiceError as error:
            return [notice(error), gr.skip(), gr.skip()]
        self._cache.forget()
        version_id = revised.dataset_version.dataset_version_id
        return [done_notice(f"{version_id} is registered."), version_id, gr.Column(visible=False)]

    async def refresh(
        self, chosen: str, row_id: str, reason: str, places: list[str], shown: dict[str, int], model: str
    ) -> list[Any]:
        imports = await html_or_notice(self._imports.html())
        publications = await html_or_notice(self._publishing.html())
        datasets = await html_or_notice(self._datasets(chosen))
        line = await self._line(chosen, row_id, reason, places)
        mix = await html_or_notice(self._mix(chosen, reason, model, line))
        rows = await html_or_notice(self._rows(chosen, row_id, reason, places))
        mask = await html_or_notice(self._mask(chosen, model, line))
        html = {"imports": imports, "publications": publications, "datasets": datasets, "mix": mix, "rows": rows}
        return [*parts.changed(shown, **html, mask=mask), shown]

    async def _datasets(self, chosen: str) -> str:
        versions, builds = await self._cache.read(read_versions), await self._cache.read(read_builds)
        return render("datasets/list", versions=versions, builds=builds, picked=chosen)

    async def _mix(self, chosen: str, reason: str, model: str, line: int) -> str:
        mix = await self._cache.read(read_mix, chosen) if chosen else None
        preflight = await self._preflight(chosen, model, line) if chosen and model else None
        return render("datasets/mix", mix=mix, reason=reason, tokens=list(_tokens(preflight)) if preflight else ())

    async def _mask(self, chosen: str, model: str, line: int) -> str:
        """Return the tokens of the open row, those that are trained marked."""
        if not line:
            return ""
        row = preflight_view(await self._preflight(chosen, model, line)).row if model else None
        return render("datasets/mask", row=row, model=model)

    async def _preflight(self, chosen: str, model: str, line: int) -> TrainingPreflight:
        mix = await self._cache.read(read_mix, chosen)
        return await self._cache.read(read_tokens, chosen, model, mix["num_pairs"] > 0, line)

    async def _line(self, chosen: str, row_id: str, reason: str, places: list[str]) -> int:
        """Return the line of the open row; 0 where none is, or its page is turned."""
        if not chosen or not row_id:
            return 0
        try:
            page = await self._cache.read(read_rows, chosen, reason, places[-1])
        except ServiceError:
            return 0
        return next((int(row["line"]) for row in page["dataset_rows"] if row["example_id"] == row_id), 0)

    async def _rows(self, chosen: str, row_id: str, reason: str, places: list[str]) -> str:
        if not chosen:
            return ""
        page = await self._cache.read(read_rows, chosen, reason, places[-1])
        return render("datasets/rows", page=page, picked=row_id, is_first=len(places) == 1)


def _tokens(preflight: TrainingPreflight) -> Iterator[tuple[str, str]]:
    checked, total = preflight.num_checked_rows, preflight.num_rows
    if checked < total:
        yield "Rows looked at", f"{checked:,} of about {total:,}"
    yield from token_facts(preflight)
