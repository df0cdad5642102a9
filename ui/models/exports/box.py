"""The part of the page Models that exports a version and publishes it."""

from __future__ import annotations

from typing import Any

import gradio as gr

from services.chassis.errors import InvalidArgument, ServiceError
from ui.models.exports.actions import read_shipping, start_export, start_publication
from ui.models.exports.forms import CHOICES
from ui.shared import parts
from ui.shared.cache import ServiceCache, done_notice, html_or_notice, notice
from ui.shared.environment import render


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
    shipping = parts.area("shipping")
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    parts.keep_fresh(cache, box.refresh, [shown], [shipping, shown], on_load=True)
    export.click(box.export, [chosen, form, name], [message], **quiet)
    publish.click(box.publish, [chosen, *fields], [message], **quiet)


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
        shipping = await html_or_notice(self._shipping())
        return [*parts.changed(shown, shipping=shipping), shown]

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

    async def _shipping(self) -> str:
        return render(
            "models/exports", title="Exports and publications", shipping=await self._cache.read(read_shipping)
        )


def check_chosen(chosen: str) -> None:
    """Raise InvalidArgument unless a version is open."""
    if not chosen:
        raise InvalidArgument("No version is open.", "Click on one in the list first.")
