"""The page of shipments: export, prove, publish."""

from __future__ import annotations

from typing import Any

import gradio as gr
from drillyard.feedback.v1.shipment_pb2 import CancelShipmentRequest, CreateShipmentRequest, ShipmentSpec
from drillyard.registry.v1.export_pb2 import ExportSpec
from drillyard.registry.v1.publication_pb2 import Destination
from google.protobuf.json_format import ParseDict

from services.chassis.errors import InvalidArgument, ServiceError
from ui.models.actions import read_models, read_suites
from ui.models.exports.destinations import destination_fields
from ui.models.exports.forms import CHOICES, form_fields
from ui.shared import parts
from ui.shared.cache import ServiceCache, done_notice, html_or_notice, notice
from ui.shared.environment import render
from ui.shared.fields import FieldForm, Values, text_of
from ui.shipping.shipments.actions import read_shipment, recent_shipments

_FIELDS = ("num_rows", "max_rate_loss", "max_log_prob_difference", "max_new_tokens")


def build(cache: ServiceCache) -> None:
    """Build the page."""
    parts.frame("Shipments", "A version leaves in the form that was proven on the whole suite, or not at all.")
    chosen, shown = gr.State(""), gr.State({})
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300):
            form = _Form()
            listed = parts.area("shipments")
        with gr.Column(scale=9, min_width=520):
            message = parts.area("shipment-message")
            cancel = gr.Button(
                "Cancel this shipment", visible=False, elem_id="shipment-cancel", elem_classes="dy-cancel", size="sm"
            )
            shipment = parts.area("shipment", waits=True)
    page = _Page(cache, form)
    areas = [listed, shipment, cancel, shown]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    loaded = parts.root().load(page.open, None, [form.model, form.suite, chosen], **quiet)
    loaded.then(page.refresh, [chosen, shown], areas, **quiet)
    parts.keep_fresh(cache, page.refresh, [chosen, shown], areas)
    started = form.start.click(page.start, form.components(), [chosen, message], **quiet)
    started.then(page.refresh, [chosen, shown], areas, **quiet)
    listed.select(parts.picked, None, [chosen], **quiet).then(page.refresh, [chosen, shown], areas, **quiet)
    cancel.click(page.cancel, [chosen], [message], **quiet)


class _Form:
    """What a shipment is started with."""

    def __init__(self) -> None:
        self.fields = FieldForm("shipment", ShipmentSpec)
        with gr.Column(elem_classes="dy-form"):
            self.model = gr.Dropdown([], label="Model", elem_id="shipment-model")
            self.suite = gr.Dropdown([], label="Suite", elem_id="shipment-suite")
            self.form = gr.Dropdown(
                CHOICES, value=CHOICES[0][1], label="Form", allow_custom_value=True, elem_id="shipment-form"
            )
            self.destination = gr.Textbox(
                label="Destination",
                info="Such as ollama:NAME, hf:OWNER/NAME or folder:/PATH; empty only proves the form.",
                max_length=4096,
                elem_id="shipment-destination",
            )
            with gr.Accordion("Margins", open=False, elem_id="shipment-margins"):
                self.fields.add(*_FIELDS)
            self.start = gr.Button("Ship", variant="primary", elem_id="shipment-start")

    def components(self) -> set[Any]:
        return {self.model, self.suite, self.form, self.destination, *self.fields.components.values()}

    def spec(self, values: Values) -> ShipmentSpec:
        model, suite = values[self.model], values[self.suite]
        if not model or not suite:
            field = "suite" if model else "model"
            raise InvalidArgument("A model and a suite are needed.", "Choose both.", field=field)
        place = text_of(values, self.destination)
        spec = ShipmentSpec(
            model_version_id=model,
            test_suite_version_id=suite,
            export=ParseDict(form_fields(text_of(values, self.form)), ExportSpec()),
            destinations=[ParseDict(destination_fields(place), Destination())] if place else [],
        )
        self.fields.fill(spec, values, "spec.")
        return spec


class _Page:
    def __init__(self, cache: ServiceCache, form: _Form) -> None:
        self._cache = cache
        self._form = form

    async def open(self, request: gr.Request) -> list[Any]:
        newest = ""
        try:
            versions = [model.model_version_id for model in await self._cache.read(read_models)]
            suites = [suite.test_suite_version_id for suite in await self._cache.read(read_suites)]
            newest = next((shipment.shipment_id for shipment in await self._cache.read(recent_shipments)), "")
        except ServiceError:
            versions, suites = [], []
        return [
            parts.choices(versions, parts.query(request, "model")),
            parts.choices(suites, parts.query(request, "suite")),
            parts.query(request, "shipment") or newest,
        ]

    async def start(self, values: Values) -> list[Any]:
        try:
            request = CreateShipmentRequest(spec=self._form.spec(values))
            begun = (await self._cache.clients.feedback.CreateShipment(request)).shipment
        except ServiceError as error:
            return [gr.skip(), notice(error, "shipment")]
        self._cache.forget()
        return [begun.shipment_id, done_notice("The shipment has begun.")]

    async def cancel(self, chosen: str) -> str:
        try:
            await self._cache.clients.feedback.CancelShipment(CancelShipmentRequest(shipment_id=chosen))
        except ServiceError as error:
            return notice(error)
        self._cache.forget()
        return done_notice("The shipment is being cancelled; what is published stays.", tone="warn")

    async def refresh(self, chosen: str, shown: dict[str, int]) -> list[Any]:
        listed = await html_or_notice(self._shipments(chosen))
        try:
            item = await self._cache.read(read_shipment, chosen) if chosen else None
            html = render("shipments/shipment", one=item)
        except ServiceError as error:
            item, html = None, notice(error)
        button = gr.Button(visible=item is not None and not item.job.is_final)
        return [*parts.changed(shown, shipments=listed, shipment=html), button, shown]

    async def _shipments(self, chosen: str) -> str:
        return render("shipments/shipments", shipments=await self._cache.read(recent_shipments), picked=chosen)
