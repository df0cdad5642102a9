"""The part of the page Models that exports a version and publishes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import gradio as gr

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
from ui.models.exports.forms import CHOICES
from ui.models.exports.views import ShippingView
from ui.shared import parts
from ui.shared.cache import ServiceCache, done_notice, html_or_notice, notice
from ui.shared.environment import render

PUBLICATION = "The publication of {} to {}"


def build(cache: ServiceCache, chosen: gr.State) -> None:
    """Build the box; `chosen` holds the id of the version that is open."""
    box = _Box(cache)
    shown = gr.State({})
    with gr.Column(elem_classes="dy-form"):
        form = gr.Dropdown(
            label="Ship the open version as",
            info="Writes a form in which other programs serve it, as a version of its own.",
            choices=[*CHOICES, ("Ollama, of a GGUF version", "ollama")],
            value="gguf:Q8_0",
            allow_custom_value=True,
            elem_id="ship-form",
        )
        name = gr.Textbox(
            label="Name of the new model", info="Empty for a name of its own.", max_length=100, elem_id="ship-name"
        )
        export = gr.Button("Export", elem_id="ship-export")
        places = "Such as hf:owner/name, ollama:name, folder:/path, oci:host/repository:tag."
        publish, fields = publishing("ship", places)
        message = parts.area("ship-message")
    exports, publications = parts.area("exports"), parts.area("publications")
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    parts.keep_fresh(cache, box.refresh, [shown], [exports, publications, shown], on_load=True)
    export.click(box.export, [chosen, form, name], [message], **quiet)
    publish.click(box.publish, [chosen, *fields], [message], **quiet)
    exports.select(box.cancel_export, None, [message], **quiet)
    publications.select(box.cancel_publication, None, [message], **quiet)


def publishing(form: str, places: str) -> tuple[gr.Button, list[Any]]:
    """Build a button that publishes, and the fields that say where to: place, secret, and whether to replace."""
    place = gr.Textbox(label="Publish the open version to", info=places, max_length=4096, elem_id=f"{form}-place")
    secret = gr.Textbox(
        label="Secret", info="Its name, not the token; empty for none.", max_length=64, elem_id=f"{form}-secret"
    )
    replace = gr.Checkbox(label="Replace what has the name", value=False, elem_id=f"{form}-replace")
    return gr.Button("Publish", elem_id=f"{form}-publish"), [place, secret, replace]


class _Box:
    def __init__(self, cache: ServiceCache) -> None:
        self._cache = cache

    async def refresh(self, shown: dict[str, int]) -> list[Any]:
        exports = await html_or_notice(self._exports())
        publications = await html_or_notice(publications_html(self._cache, "model_version_id"))
        return [*parts.changed(shown, exports=exports, publications=publications), shown]

    async def export(self, chosen: str, form: str, name: str) -> str:
        try:
            check_chosen(chosen)
            begun = await start_export(self._cache.clients, chosen, form or "", name.strip())
        except ServiceError as error:
            return notice(error, "ship")
        self._cache.forget()
        return done_notice(f"The export of {chosen} as {begun.target} has begun.")

    async def publish(self, chosen: str, place: str, secret: str, replace: bool) -> str:
        try:
            check_chosen(chosen)
            begun = await start_publication(
                self._cache.clients,
                {"model_version_id": chosen},
                place.strip(),
                secret=secret.strip(),
                replace=replace,
            )
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


def check_chosen(chosen: str) -> None:
    """Raise InvalidArgument unless a version is open."""
    if not chosen:
        raise InvalidArgument("No version is open.", "Click on one in the list first.")
