"""The page Models: what there is, where it came from, and imports."""

from __future__ import annotations

from typing import Any

import gradio as gr
from drillyard.registry.v1.model_pb2 import DeleteModelVersionRequest

from services.chassis.errors import ServiceError
from ui.models import import_box
from ui.models.actions import read_imports, read_models
from ui.models.exports import box
from ui.models.lineage import NODE_SIZE, read_lineage
from ui.models.views import ModelVersionView
from ui.shared import parts
from ui.shared.cache import ServiceCache, done_notice, html_or_notice, notice
from ui.shared.dependants import deleting
from ui.shared.environment import render


def build(cache: ServiceCache) -> None:
    """Build the page."""
    parts.frame("Models", "Every set of weights with its origin. Adapters stand below the weights they were made from.")
    page = _Page(cache)
    chosen, shown = gr.State(""), gr.State({})
    with gr.Row(equal_height=False):
        with gr.Column(scale=8, min_width=520):
            models = parts.area("models", waits=True)
            model = parts.area("model")
            lineage = parts.area("lineage")
        with gr.Column(scale=4, min_width=300):
            message, imports = import_box.build(cache)
            box.build(cache, chosen)
    areas = [models, model, imports]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    loaded = parts.root().load(page.open, None, [chosen], **quiet)
    parts.keep_fresh(cache, page.refresh, [chosen, shown], [*areas, shown])
    opened = models.select(parts.picked, None, [chosen], **quiet)
    deleted = model.select(page.delete, [chosen], [chosen, message], **quiet)
    # A graph is read from many places: again when another version is open, or there are others.
    models.change(page.draw, [chosen], [lineage], **quiet)
    for event in (loaded, opened, deleted):
        event.then(page.refresh, [chosen, shown], [*areas, shown], **quiet)


class _Page:
    def __init__(self, cache: ServiceCache) -> None:
        self._cache = cache

    def open(self, request: gr.Request) -> str:
        return parts.query(request, "model")

    async def refresh(self, chosen: str, shown: dict[str, int]) -> list[Any]:
        models = await html_or_notice(self._models(chosen))
        model = await html_or_notice(self._model(chosen))
        imports = await html_or_notice(self._imports())
        return [*parts.changed(shown, models=models, model=model, imports=imports), shown]

    async def draw(self, chosen: str) -> str:
        return await html_or_notice(self._lineage(chosen))

    async def delete(self, chosen: str, event: gr.EventData) -> list[Any]:
        """Delete the version on whose card the button was clicked, which `chosen` may have left behind already."""
        deleted = parts.picked(event)
        request = DeleteModelVersionRequest(model_version_id=deleted)
        try:
            await deleting(lambda clients: clients.registry.DeleteModelVersion)(self._cache.clients, request)
        except ServiceError as error:
            return [gr.skip(), notice(error)]
        self._cache.forget()
        return ["" if chosen == deleted else gr.skip(), done_notice(f"{deleted} is deleted.", tone="warn")]

    async def _models(self, chosen: str) -> str:
        return render("models/models", models=await self._cache.read(read_models), picked=chosen)

    async def _model(self, chosen: str) -> str:
        models = await self._cache.read(read_models) if chosen else ()
        model = next((each for each in models if each.model_version_id == chosen), None)
        return render("models/model", one=model, facts=_facts(model) if model else ())

    async def _lineage(self, chosen: str) -> str:
        if not chosen:
            return ""
        return render("models/lineage", one=await self._cache.read(read_lineage, chosen), node_size=NODE_SIZE)

    async def _imports(self) -> str:
        return render("models/imports", imports=await self._cache.read(read_imports))


def _facts(model_version: ModelVersionView) -> list[tuple[str, str]]:
    facts = (
        ("made from", model_version.base_model_version_id),
        ("made by", model_version.produced_by),
        ("digest", model_version.digest),
        ("source", model_version.source_uri),
        ("source digest", model_version.source_digest),
        ("licence", model_version.licence),
        ("registered", model_version.created),
    )
    return [(name, value) for name, value in facts if value]
