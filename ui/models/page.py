"""The page Models: what there is, where it came from, and imports from this machine."""

from __future__ import annotations

from typing import Any

import gradio as gr

from services.chassis.errors import InvalidArgument, ServiceError
from ui.models.actions import read_imports, read_models, start_import
from ui.models.views import ModelVersionView
from ui.shared import parts
from ui.shared.desk import Desk, html_or_notice, notice, said
from ui.shared.environment import render


def build(desk: Desk) -> None:
    """Build the page."""
    parts.frame("Models", "Every set of weights with its origin. Adapters stand below the weights they were made from.")
    page = _Page(desk)
    chosen, shown = gr.State(""), gr.State({})
    with gr.Row(equal_height=False):
        with gr.Column(scale=8, min_width=520):
            models = parts.area("models", waits=True)
        with gr.Column(scale=4, min_width=300):
            with gr.Column(elem_classes="dy-form"):
                path = gr.Textbox(
                    label="Import from this machine",
                    info="Absolute path of a GGUF file or a Hugging Face folder.",
                    placeholder="/models/SmolLM2-135M-Instruct.Q4_1.gguf",
                    max_length=4096,
                    elem_id="import-path",
                )
                name = gr.Textbox(
                    label="Name of the model",
                    info="Lower-case letters, digits, dots and dashes.",
                    placeholder="smollm2-135m-instruct",
                    max_length=200,
                    elem_id="import-name",
                )
                start = gr.Button("Import", variant="primary", elem_id="import-start")
                message = parts.area("import-message")
            imports = parts.area("imports")
    areas = [models, imports]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    gr.on(
        [parts.root().load, gr.Timer(parts.TICK_SECONDS).tick], page.refresh, [chosen, shown], [*areas, shown], **quiet
    )
    models.select(page.choose, [shown], [chosen, *areas, shown], **quiet)
    gr.on([start.click, path.submit, name.submit], page.start, [path, name], [message], **quiet)


class _Page:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def refresh(self, chosen: str, shown: dict[str, int]) -> list[Any]:
        models = await html_or_notice(self._models(chosen))
        imports = await html_or_notice(self._imports())
        return [*parts.changed(shown, models=models, imports=imports), shown]

    async def choose(self, shown: dict[str, int], event: gr.EventData) -> list[Any]:
        chosen = parts.picked(event)
        return [chosen, *await self.refresh(chosen, shown)]

    async def start(self, path: str, name: str) -> str:
        try:
            if not path.strip():
                raise InvalidArgument(
                    "There is no path.", "Give that of a GGUF file or a folder, absolute.", field="path"
                )
            begun = await start_import(self._desk.clients, name.strip(), path.strip())
        except ServiceError as error:
            return notice(error, "import")
        self._desk.forget()
        return said(f"The import of {begun.model_id} has begun.")

    async def _models(self, chosen: str) -> str:
        models = await self._desk.read(read_models)
        one = next((each for each in models if each.model_version_id == chosen), None)
        return render("models/models", models=models, picked=chosen, lineage=_lineage(one) if one else ())

    async def _imports(self) -> str:
        return render("models/imports", imports=await self._desk.read(read_imports))


def _lineage(one: ModelVersionView) -> list[tuple[str, str]]:
    facts = (
        ("made from", one.base_model_version_id),
        ("made by", one.produced_by),
        ("digest", one.digest),
        ("source", one.source_uri),
        ("source digest", one.source_digest),
        ("registered", one.created),
    )
    return [(name, value) for name, value in facts if value]
