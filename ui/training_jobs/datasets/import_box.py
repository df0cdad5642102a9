"""A box that imports a file as a dataset: dropped into it, looked through row by row, then registered."""

from __future__ import annotations

from typing import Any

import gradio as gr
from drillyard.registry.v1.dataset_file_pb2 import DatasetSource
from drillyard.registry.v1.dataset_pb2 import (
    CreateDatasetVersionRequest,
    ValidateDatasetRequest,
    ValidateDatasetResponse,
)

from services.chassis.errors import InvalidArgument, ServiceError
from ui.shared import parts
from ui.shared.cache import ServiceCache, done_notice, notice
from ui.shared.environment import render
from ui.shared.fields import FieldForm, Values, text_of

_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_WHOLE_SECONDS = 140.0


class ImportBox:
    """The fields, and what they do."""

    def __init__(self, cache: ServiceCache) -> None:
        self._cache = cache
        self._fields = FieldForm("dataset-import", DatasetSource)
        with (
            gr.Column(elem_classes="dy-form"),
            gr.Accordion("Import a file", open=False, elem_id="dataset-import"),
        ):
            self._file = gr.File(
                label="JSON lines, a JSON array or Parquet",
                type="binary",
                file_types=[".jsonl", ".json", ".parquet"],
                height=120,
                elem_id="dataset-import-file",
            )
            self._name = gr.Textbox(label="Dataset", max_length=200, elem_id="dataset-import-dataset-id")
            self._fields.add("format", "validation_share", "profile_id", "skips_wrong_rows")
            with gr.Row():
                self._check = gr.Button("Check", min_width=110, elem_id="dataset-import-check")
                self._start = gr.Button("Import", variant="primary", min_width=110, elem_id="dataset-import-start")
            self._message = parts.area("dataset-import-message")

    def wire(self, chosen: gr.State, refresh: Any, seen: list[Any], areas: list[Any]) -> None:
        """Connect the buttons; what is registered is opened."""
        inputs = {self._file, self._name, *self._fields.components.values()}
        self._check.click(self.check, inputs, [self._message], **_QUIET)
        registered = self._start.click(self.register, inputs, [self._message, chosen], **_QUIET)
        registered.then(refresh, seen, areas, **_QUIET)

    async def check(self, values: Values) -> str:
        """Say which rows cannot be used, by their lines."""
        try:
            return render("datasets/check", result=await self._checked(values), is_import=False)
        except ServiceError as error:
            return notice(error, "dataset-import")

    async def register(self, values: Values) -> list[Any]:
        """Register the file, unless rows of it cannot be used and are not to be left out."""
        try:
            result = await self._checked(values)
            if result.num_faults and not self._source(values).skips_wrong_rows:
                return [render("datasets/check", result=result, is_import=True), gr.skip()]
            request = CreateDatasetVersionRequest(
                dataset_id=text_of(values, self._name),
                artifact=await self._artifact(values),
                source=self._source(values),
                produced_by="upload",
            )
            registry = self._cache.clients.registry
            version = (await registry.CreateDatasetVersion(request, timeout=_WHOLE_SECONDS)).dataset_version
        except ServiceError as error:
            return [notice(error, "dataset-import"), gr.skip()]
        self._cache.forget()
        name = version.dataset_version_id
        return [done_notice(f"{name} is registered, with {result.num_rows:,} rows."), name]

    async def _checked(self, values: Values) -> ValidateDatasetResponse:
        request = ValidateDatasetRequest(artifact=await self._artifact(values), source=self._source(values))
        registry = self._cache.clients.registry
        response: ValidateDatasetResponse = await registry.ValidateDataset(request, timeout=_WHOLE_SECONDS)
        return response

    async def _artifact(self, values: Values) -> Any:
        if not values[self._file]:
            raise InvalidArgument("There is no file.", "Drop one into the box, or choose it.", field="artifact")
        return await self._cache.app.state.uploads.keep(values[self._file])

    def _source(self, values: Values) -> DatasetSource:
        source = DatasetSource()
        self._fields.fill(source, values)
        return source
