"""The page Shipments: every field of a shipment can be set, and what is at work is cancelled."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from drillyard.feedback.v1 import shipment_pb2 as pb
from drillyard.job.v1.job_pb2 import JOB_STATE_CANCELLED, JOB_STATE_RUNNING
from drillyard.registry.v1 import model_pb2, test_suite_pb2

from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound
from ui.shared.cache import ServiceCache
from ui.shipping.shipments.form import ShipmentForm
from ui.shipping.shipments.page import _Page


class Services:
    """A registry with a version and a suite, and shipments in memory."""

    def __init__(self) -> None:
        self.shipments: list[pb.Shipment] = []

    async def ListModelVersions(self, _: Any) -> Any:
        return model_pb2.ListModelVersionsResponse(model_versions=[model_pb2.ModelVersion(model_version_id="tuned@1")])

    async def ListTestSuiteVersions(self, _: Any) -> Any:
        suite = test_suite_pb2.TestSuiteVersion(test_suite_version_id="roo_xml/smoke@1")
        return test_suite_pb2.ListTestSuiteVersionsResponse(test_suite_versions=[suite])

    async def ListShipments(self, _: Any) -> Any:
        return pb.ListShipmentsResponse(shipments=self.shipments)

    def _shipment(self, shipment_id: str) -> pb.Shipment:
        for shipment in self.shipments:
            if shipment.shipment_id == shipment_id:
                return shipment
        raise NotFound(f"There is no shipment {shipment_id}.")

    async def GetShipment(self, request: Any) -> Any:
        return pb.GetShipmentResponse(shipment=self._shipment(request.shipment_id))

    async def CreateShipment(self, request: Any) -> Any:
        if request.spec.export.number_type == "Q9":
            raise InvalidArgument("There is no type Q9.", "Take Q8_0.", field="spec.export.number_type")
        shipment = pb.Shipment(shipment_id="shipment-1", spec=request.spec, job={"state": JOB_STATE_RUNNING})
        self.shipments.append(shipment)
        return pb.CreateShipmentResponse(shipment=shipment)

    async def CancelShipment(self, request: Any) -> Any:
        shipment = self._shipment(request.shipment_id)
        if shipment.job.state == JOB_STATE_CANCELLED:
            raise FailedPrecondition("It has ended.", "")
        shipment.job.state = JOB_STATE_CANCELLED
        return pb.CancelShipmentResponse(shipment=shipment)


@pytest.fixture
def services() -> Services:
    return Services()


@pytest.fixture
async def page(services: Services) -> _Page:
    clients = SimpleNamespace(registry=services, feedback=services)
    application: Any = SimpleNamespace(state=SimpleNamespace(clients=clients))
    with gr.Blocks():
        form = ShipmentForm()
    return _Page(ServiceCache(application), form)


def filled(page: _Page, **values: Any) -> dict[Any, Any]:
    """Return what the form holds when a person has filled in these elements."""
    named = {f"shipment-{name.replace('_', '-')}": value for name, value in values.items()}
    return {item: named.pop(str(item.elem_id), item.value) for item in page._form.components()} | named


async def test_every_field_of_a_shipment_can_be_set(page: _Page, services: Services) -> None:
    values = filled(
        page,
        model="tuned@1",
        suite="roo_xml/smoke@1",
        prompt_size="full",
        form="ollama:Q4_K_M",
        export_profile_id="roo_xml",
        export_num_ctx=512,
        export_renderer="qwen3-coder",
        export_parser="qwen3-coder",
        destination="hf:me/roo",
        destination_secret="hub",
        destination_replace=True,
        endpoint_base_url="http://box/v1",
        endpoint_model="roo",
    )
    chosen, message = await page.start(values)
    assert chosen == "shipment-1" and "has begun" in message
    spec = services.shipments[0].spec
    assert (spec.export.profile_id, spec.export.num_ctx, spec.prompt_size) == ("roo_xml", 512, "full")
    assert (spec.export.renderer, spec.export.parser) == ("qwen3-coder", "qwen3-coder")
    (place,) = spec.destinations
    assert (place.hub_id, place.secret, place.replace) == ("me/roo", "hub", True)
    assert (spec.endpoint.base_url, spec.endpoint.model) == ("http://box/v1", "roo")


async def test_without_an_address_and_a_place_the_form_is_served_here_and_only_proven(
    page: _Page, services: Services
) -> None:
    assert "A model and a suite are needed." in (await page.start(filled(page)))[1]
    values = filled(page, model="tuned@1", suite="roo_xml/smoke@1", form="gguf:Q9")
    assert "There is no type Q9." in (await page.start(values))[1]
    await page.start(filled(page, model="tuned@1", suite="roo_xml/smoke@1"))
    spec = services.shipments[0].spec
    assert not spec.HasField("endpoint") and not spec.destinations and spec.max_rate_loss == 0.02


async def test_a_shipment_is_opened_by_its_address_and_cancelled(page: _Page) -> None:
    await page.start(filled(page, model="tuned@1", suite="roo_xml/smoke@1"))
    request: Any = SimpleNamespace(query_params={"shipment": "shipment-1"})
    models, suites, chosen = await page.open(request)
    assert (models.value, suites.value, chosen) == ("tuned@1", "roo_xml/smoke@1", "shipment-1")
    listed, shipment, button, shown = await page.refresh(chosen, {})
    assert 'data-select="shipment-1"' in listed and "running" in shipment and button.visible
    assert "is being cancelled" in await page.cancel(chosen)
    assert "It has ended." in await page.cancel(chosen)
    _, shipment, button, _ = await page.refresh(chosen, shown)
    assert "cancelled" in shipment and not button.visible
    assert "There is no shipment gone." in (await page.refresh("gone", {}))[1]
