"""A box that imports a file of feedback items: dropped into it, stored by a durable job."""

from __future__ import annotations

from typing import Any

import gradio as gr
from drillyard.feedback.v1.feedback_file_pb2 import CreateFeedbackImportRequest, ListFeedbackImportsRequest

from services.chassis.errors import InvalidArgument, ServiceError
from ui.gateway.clients import Clients
from ui.shared import parts
from ui.shared.cache import ServiceCache, done_notice, notice
from ui.shared.documents import Document, document
from ui.shared.environment import render
from ui.shared.jobs import job_view

_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_NUM_IMPORTS = 3


async def read_imports(clients: Clients) -> list[Document]:
    """Return the newest imports with how far they are."""
    response = await clients.feedback.ListFeedbackImports(ListFeedbackImportsRequest(page_size=_NUM_IMPORTS))
    return [{**document(one), "view": job_view(one.job)} for one in response.feedback_imports]


class ImportBox:
    """The field, what it does, and `imports`, the place of the list of imports."""

    def __init__(self, cache: ServiceCache) -> None:
        self._cache = cache
        with gr.Column(elem_classes="dy-form"), gr.Accordion("Import a file", open=False, elem_id="feedback-import"):
            self._file = gr.File(
                label="JSON lines: exported items, or bodies of `POST /feedback`",
                type="binary",
                file_types=[".jsonl"],
                height=120,
                elem_id="feedback-import-file",
            )
            self._start = gr.Button("Import", variant="primary", elem_id="feedback-import-start")
            self._message = parts.area("feedback-import-message")
        self.imports = parts.area("feedback-imports")

    def wire(self, refresh: Any, seen: list[Any], areas: list[Any]) -> None:
        """Connect the button."""
        started = self._start.click(self.start, [self._file], [self._message], **_QUIET)
        started.then(refresh, seen, areas, **_QUIET)

    async def html(self) -> str:
        """Return the list of imports."""
        return render("feedback/imports", imports=await self._cache.read(read_imports))

    async def start(self, content: bytes | None) -> str:
        """Start to store the items."""
        try:
            if not content:
                raise InvalidArgument("There is no file.", "Drop one into the box, or choose it.", field="artifact")
            artifact = await self._cache.app.state.uploads.keep(content)
            await self._cache.clients.feedback.CreateFeedbackImport(CreateFeedbackImportRequest(artifact=artifact))
        except ServiceError as error:
            return notice(error, "feedback-import")
        self._cache.forget()
        return done_notice("The import has begun.")
