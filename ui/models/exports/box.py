"""The part of the page Models that exports a version and publishes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import gradio as gr
from drillyard.registry.v1.export_pb2 import ExportSpec
from drillyard.registry.v1.publication_pb2 import PublicationSpec
from google.protobuf.json_format import ParseDict

from services.chassis.errors import InvalidArgument, ServiceError
from ui.gateway.clients import Clients
from ui.models.exports.actions import (
    Noun,
    cancel_export,
    cancel_publication,
    read_exports,
    read_publications,
    start_export,
    start_publication,
)
from ui.models.exports.forms import CHOICES, form_fields
from ui.models.exports.place import PlaceForm
from ui.models.exports.views import ShippingView
from ui.shared import parts
from ui.shared.cache import ServiceCache, done_notice, html_or_notice, notice
from ui.shared.environment import render
from ui.shared.fields import FieldForm, Values, text_of

PLACES = "hf:owner/name, ollama:name, folder:/path, oci:host/repository:tag"
PUBLICATION = "The publication of {} to {}"


def build(cache: ServiceCache, chosen: gr.State) -> None:
    """Build the box; `chosen` holds the id of the version that is open."""
    shown, fields = gr.State({}), FieldForm("ship", ExportSpec)
    with gr.Column(elem_classes="dy-form"):
        form = gr.Dropdown(
            label="Ship the open version as",
            info="Writes a form in which other programs serve it, as a version of its own.",
            choices=[*CHOICES, ("Ollama, of a GGUF version", "ollama")],
            value="gguf:Q8_0",
            allow_custom_value=True,
            elem_id="ship-form",
        )
        fields.add("model_id", elem_id="ship-name")
        with gr.Accordion("Settings of the form", open=False, elem_id="ship-settings"):
            fields.add("profile_id", elem_id="ship-profile")
            for name in ("num_ctx", "renderer", "parser"):
                fields.add(name)
        export = gr.Button("Export", elem_id="ship-export")
        place = PlaceForm("ship", "Publish the open version to", f"Such as {PLACES}.")
        publish = gr.Button("Publish", elem_id="ship-publish")
        message = parts.area("ship-message")
    exports, publications = parts.area("exports"), parts.area("publications")
    box = _Box(cache, chosen, form, fields, place)
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    parts.keep_fresh(cache, box.refresh, [shown], [exports, publications, shown], on_load=True)
    export.click(box.export, {chosen, form, *fields.components.values()}, [message], **quiet)
    publish.click(box.publish, {chosen, *place.components()}, [message], **quiet)
    exports.select(box.cancel_export, None, [message], **quiet)
    publications.select(box.cancel_publication, None, [message], **quiet)


class _Box:
    def __init__(
        self, cache: ServiceCache, chosen: gr.State, form: gr.Dropdown, fields: FieldForm, place: PlaceForm
    ) -> None:
        self._cache, self._chosen, self._form, self._fields, self._place = cache, chosen, form, fields, place

    async def refresh(self, shown: dict[str, int]) -> list[Any]:
        exports = await html_or_notice(self._exports())
        publications = await html_or_notice(publications_html(self._cache, "model_version_id"))
        return [*parts.changed(shown, exports=exports, publications=publications), shown]

    async def export(self, values: Values) -> str:
        try:
            spec = ParseDict(form_fields(text_of(values, self._form)), ExportSpec())
            spec.model_version_id = version_of(values, self._chosen)
            self._fields.fill(spec, values, "spec.")
            begun = await start_export(self._cache.clients, spec)
        except ServiceError as error:
            return notice(error, "ship")
        self._cache.forget()
        return done_notice(f"The export of {spec.model_version_id} as {begun.target} has begun.")

    async def publish(self, values: Values) -> str:
        try:
            chosen = version_of(values, self._chosen)
            spec = PublicationSpec(model_version_id=chosen, destination=self._place.destination(values))
            begun = await start_publication(self._cache.clients, spec)
        except ServiceError as error:
            return notice(error, "ship")
        self._cache.forget()
        return done_notice(f"The publication of {chosen} to {begun.target} has begun.")

    async def cancel_export(self, event: gr.EventData) -> str:
        return await cancelled(self._cache, cancel_export, event, "The export of {} as {}")

    async def cancel_publication(self, event: gr.EventData) -> str:
        return await cancelled(self._cache, cancel_publication, event, PUBLICATION)

    async def _exports(self) -> str:
        return render("models/exports", title="Exports", shipping=await self._cache.read(read_exports))


async def publications_html(cache: ServiceCache, noun: Noun) -> str:
    """Return the list of publications of models or of datasets."""
    return render("models/exports", title="Publications", shipping=await cache.read(read_publications, noun))


async def cancelled(
    cache: ServiceCache, cancel: Callable[[Clients, str], Awaitable[ShippingView]], event: gr.EventData, name: str
) -> str:
    """Cancel the job whose button was clicked, and say so; `name` is its name with places for version and target."""
    try:
        job = await cancel(cache.clients, parts.picked(event))
    except ServiceError as error:
        return notice(error)
    cache.forget()
    return done_notice(f"{name.format(job.version_id, job.target)} is cancelled.", tone="warn")


def version_of(values: Values, chosen: gr.State) -> str:
    """Return the version that is open, or raise InvalidArgument where none is."""
    if version_id := text_of(values, chosen):
        return version_id
    raise InvalidArgument("No version is open.", "Click on one in the list first.")
