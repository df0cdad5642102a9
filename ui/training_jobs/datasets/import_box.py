"""A box that imports a file as a dataset: dropped into it, looked through row by row, registered by a durable job."""

from __future__ import annotations

from typing import Any

import gradio as gr
from drillyard.registry.v1.dataset_file_pb2 import DatasetSource
from drillyard.registry.v1.dataset_import_pb2 import (
    CancelDatasetImportRequest,
    CreateDatasetImportRequest,
    ListDatasetImportsRequest,
)
from drillyard.registry.v1.dataset_pb2 import ValidateDatasetRequest

from services.chassis.errors import InvalidArgument, ServiceError
from ui.gateway.clients import Clients
from ui.shared import parts
from ui.shared.cache import ServiceCache, done_notice, notice
from ui.shared.documents import Document, document
from ui.shared.environment import render
from ui.shared.fields import FieldForm, Values, text_of
from ui.shared.jobs import job_view

_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_CHECK_SECONDS = 140.0
_NUM_IMPORTS = 5


async def read_imports(clients: Clients) -> list[Document]:
    """Return the newest imports with how far they are."""
    response = await clients.registry.ListDatasetImports(ListDatasetImportsRequest(page_size=_NUM_IMPORTS))
    return [{**document(one), "view": job_view(one.job)} for one in response.dataset_imports]


class ImportBox:
    """The fields, what they do, and `imports`, the place of the list of imports."""

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
        self.imports = parts.area("dataset-imports")

    def wire(self, refresh: Any, seen: list[Any], areas: list[Any]) -> None:
        """Connect the buttons."""
        inputs = {self._file, self._name, *self._fields.components.values()}
        self._check.click(self.check, inputs, [self._message], **_QUIET)
        self._start.click(self.start, inputs, [self._message], **_QUIET).then(refresh, seen, areas, **_QUIET)
        cancelled = self.imports.select(self.cancel, None, [self._message], **_QUIET)
        cancelled.then(refresh, seen, areas, **_QUIET)

    async def html(self) -> str:
        """Return the list of imports."""
        return render("datasets/imports", imports=await self._cache.read(read_imports))

    async def check(self, values: Values) -> str:
        """Say which rows cannot be used, by their lines."""
        try:
            request = ValidateDatasetRequest(artifact=await self._artifact(values), source=self._source(values))
            result = await self._cache.clients.registry.ValidateDataset(request, timeout=_CHECK_SECONDS)
        except ServiceError as error:
            return notice(error, "dataset-import")
        return render("datasets/check", result=result)

    async def start(self, values: Values) -> str:
        """Start to register the file."""
        try:
            request = CreateDatasetImportRequest(
                dataset_id=text_of(values, self._name),
                artifact=await self._artifact(values),
                source=self._source(values),
            )
            await self._cache.clients.registry.CreateDatasetImport(request)
        except ServiceError as error:
            return notice(error, "dataset-import")
        self._cache.forget()
        return done_notice(f"The import of {request.dataset_id} has begun.")

    async def cancel(self, event: gr.EventData) -> str:
        """Cancel the import whose button was clicked."""
        request = CancelDatasetImportRequest(dataset_import_id=parts.picked(event))
        try:
            cancelled = await self._cache.clients.registry.CancelDatasetImport(request)
        except ServiceError as error:
            return notice(error)
        self._cache.forget()
        return done_notice(f"The import of {cancelled.dataset_import.dataset_id} is cancelled.", tone="warn")

    async def _artifact(self, values: Values) -> Any:
        if not values[self._file]:
            raise InvalidArgument("There is no file.", "Drop one into the box, or choose it.", field="artifact")
        return await self._cache.app.state.uploads.keep(values[self._file])

    def _source(self, values: Values) -> DatasetSource:
        source = DatasetSource()
        self._fields.fill(source, values)
        return source
