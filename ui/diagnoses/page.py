"""The page Doctor: whether a model's chat template and settings can carry a protocol, before any training."""

from __future__ import annotations

from typing import Any

import gradio as gr
from drillyard.test_runner.v1.diagnosis_pb2 import DiagnoseModelRequest
from drillyard.test_runner.v1.test_run_pb2 import Endpoint

from services.chassis.errors import InvalidArgument, ServiceError
from services.protocols.profile import profile_ids
from ui.diagnoses.actions import read_diagnosis
from ui.models.actions import read_models
from ui.shared import parts
from ui.shared.cache import ServiceCache, html_or_notice, notice
from ui.shared.environment import render


def build(cache: ServiceCache) -> None:
    """Build the page."""
    parts.frame("Doctor", "Check a model's chat template and settings against a protocol, before any training.")
    page = _Page(cache)
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300), gr.Column(elem_classes="dy-form"):
            model = gr.Dropdown([], label="Model", elem_id="doctor-model")
            profile = gr.Dropdown(list(profile_ids()), value="roo_xml", label="Protocol", elem_id="doctor-profile")
            size = gr.Radio(["compact", "full"], value="compact", label="Prompt", elem_id="doctor-prompt-size")
            with gr.Accordion("Compare with a live server", open=False, elem_id="doctor-endpoint"):
                url = gr.Textbox(
                    label="Address",
                    placeholder="http://127.0.0.1:8080/v1",
                    max_length=2000,
                    elem_id="doctor-endpoint-base-url",
                )
                served = gr.Textbox(label="Name of the model there", max_length=500, elem_id="doctor-endpoint-model")
            start = gr.Button("Examine", variant="primary", elem_id="doctor-start")
        with gr.Column(scale=9, min_width=520):
            diagnosis = parts.area("diagnosis")
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    parts.root().load(page.open, None, [model, diagnosis], **quiet)
    profile.change(parts.prompt_sizes, [profile, size], [size], **quiet)
    request = start.click(lambda: render("shared/loading"), None, [diagnosis], **quiet)
    request.then(page.examine, [model, profile, size, url, served], [diagnosis], **quiet)


class _Page:
    def __init__(self, cache: ServiceCache) -> None:
        self._cache = cache

    async def open(self, request: gr.Request) -> list[Any]:
        try:
            versions = [model.model_version_id for model in await self._cache.read(read_models)]
        except ServiceError as error:
            return [parts.choices([], ""), notice(error)]
        return [parts.choices(versions, parts.query(request, "model")), render("diagnoses/diagnosis", diagnosis=None)]

    async def examine(self, model: str | None, profile: str, size: str, url: str, served: str) -> str:
        making = self._examined(model or "", profile, size, url.strip(), served.strip())
        return await html_or_notice(making, "doctor")

    async def _examined(self, model: str, profile: str, size: str, url: str, served: str) -> str:
        if not model:
            raise InvalidArgument(
                "There is no model.", "Import one on the page Models first.", field="model_version_id"
            )
        request = DiagnoseModelRequest(model_version_id=model, profile_id=profile, prompt_size=size)
        if url:
            request.endpoint.CopyFrom(Endpoint(base_url=url, model=served))
        return render("diagnoses/diagnosis", diagnosis=await read_diagnosis(self._cache.clients, request))
