"""A box that publishes the dataset version that is open."""

from __future__ import annotations

from typing import Any

import gradio as gr
from drillyard.registry.v1.dataset_file_pb2 import DatasetFileForm
from drillyard.registry.v1.publication_pb2 import PublicationSpec

from services.chassis.errors import ServiceError
from ui.models.exports.actions import cancel_publication, start_publication
from ui.models.exports.box import PUBLICATION, cancelled, publications_html, version_of
from ui.models.exports.place import PlaceForm
from ui.shared import parts
from ui.shared.cache import ServiceCache, done_notice, notice
from ui.shared.fields import Values

_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_FORMS = (("Parquet", "PARQUET"), ("JSON lines, rows as they are", "ROWS"), ("JSON lines, OpenAI's form", "MESSAGES"))


class PublishBox:
    """The fields, what they do, and `publications`, the place of the list of publications."""

    def __init__(self, cache: ServiceCache) -> None:
        self._cache = cache
        with gr.Column(elem_classes="dy-form"), gr.Accordion("Publish", open=False, elem_id="dataset-publish-box"):
            self._form = gr.Dropdown([*_FORMS], value="PARQUET", label="Written as", elem_id="dataset-publish-form")
            self._place = PlaceForm("dataset-publish", "Publish the open version to", "hf:owner/name, or folder:/path.")
            self._publish = gr.Button("Publish", elem_id="dataset-publish-publish")
            self._message = parts.area("dataset-publish-message")
        self.publications = parts.area("dataset-publications")

    def wire(self, chosen: gr.State, refresh: Any, seen: list[Any], areas: list[Any]) -> None:
        """Connect the buttons; `chosen` holds the id of the version that is open."""
        self._chosen = chosen
        inputs = {chosen, self._form, *self._place.components()}
        published = self._publish.click(self.publish, inputs, [self._message], **_QUIET)
        ended = self.publications.select(self.cancel, None, [self._message], **_QUIET)
        for event in (published, ended):
            event.then(refresh, seen, areas, **_QUIET)

    async def html(self) -> str:
        """Return the list of publications."""
        return await publications_html(self._cache, "dataset_version_id")

    async def publish(self, values: Values) -> str:
        """Start to publish the version that is open."""
        try:
            chosen = version_of(values, self._chosen)
            spec = PublicationSpec(
                dataset_version_id=chosen,
                dataset_form=DatasetFileForm.Value(f"DATASET_FILE_FORM_{values[self._form]}"),
                destination=self._place.destination(values),
            )
            begun = await start_publication(self._cache.clients, spec)
        except ServiceError as error:
            return notice(error, "dataset-publish")
        self._cache.forget()
        return done_notice(f"The publication of {chosen} to {begun.target} has begun.")

    async def cancel(self, event: gr.EventData) -> str:
        """Cancel the publication whose button was clicked."""
        return await cancelled(self._cache, cancel_publication, event, PUBLICATION)
