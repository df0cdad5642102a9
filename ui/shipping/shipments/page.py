"""The page of shipments: export, prove, publish."""

from __future__ import annotations

from typing import Any

import gradio as gr
from drillyard.feedback.v1.shipment_pb2 import CancelShipmentRequest, CreateShipmentRequest

from services.chassis.errors import ServiceError
from ui.models.actions import read_models, read_suites
from ui.shared import parts
from ui.shared.cache import ServiceCache, done_notice, html_or_notice, notice
from ui.shared.environment import render
from ui.shared.fields import Values
from ui.shipping.shipments.actions import read_shipment, recent_shipments
from ui.shipping.shipments.form import ShipmentForm


def build(cache: ServiceCache) -> None:
    """Build the page."""
    parts.frame("Shipments", "A version leaves in the form that was proven on the whole suite, or not at all.")
    chosen, shown = gr.State(""), gr.State({})
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300):
            form = ShipmentForm()
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


class _Page:
    def __init__(self, cache: ServiceCache, form: ShipmentForm) -> None:
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
