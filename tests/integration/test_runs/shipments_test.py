"""The whole gate over real services: a tiny model is exported as GGUF, served by llama.cpp and set against itself."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from drillyard.feedback.v1 import feedback_service_pb2_grpc, shipment_pb2
from drillyard.job.v1 import job_pb2
from drillyard.registry.v1 import export_pb2, publication_pb2

from tests.integration.processes import ServiceProcess, start_service
from tests.integration.tiny_stack import TinyStack, connected, tiny_stack

_HOW = "LLAMA_SERVER='/path/to/llama-server' pytest tests/integration/test_runs/shipments_test.py"
pytestmark = [
    pytest.mark.skipif(not os.environ.get("LLAMA_SERVER"), reason=f"llama.cpp's server is absent: {_HOW}"),
    pytest.mark.timeout(600),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[TinyStack, ServiceProcess]]:
    folder: Path = tmp_path_factory.mktemp("shipments")
    async with tiny_stack(folder, num_cases=3) as stack:
        known = {"registry_address": stack.registry.address, "test_runner_address": stack.runner.address}
        with (
            start_service("evaluator", folder, **known) as evaluator,
            start_service("feedback", folder, evaluator_address=evaluator.address, **known) as feedback,
        ):
            yield stack, feedback


async def test_a_model_leaves_as_gguf_through_every_step(
    served: tuple[TinyStack, ServiceProcess], tmp_path: Path
) -> None:
    stack, feedback = served
    spec = shipment_pb2.ShipmentSpec(
        model_version_id="tiny",
        test_suite_version_id=stack.suite,
        export=export_pb2.ExportSpec(form=export_pb2.EXPORT_FORM_GGUF, number_type="F32"),
        destinations=[publication_pb2.Destination(folder_path=str(tmp_path / "out"))],
        num_rows=3,
        max_new_tokens=8,
    )
    async with connected(feedback) as channel:
        stub = feedback_service_pb2_grpc.FeedbackServiceStub(channel)
        request = shipment_pb2.CreateShipmentRequest(request_id="tiny", spec=spec)
        shipment_id = (await stub.CreateShipment(request)).shipment.shipment_id
        async for _ in stub.WatchShipment(shipment_pb2.WatchShipmentRequest(shipment_id=shipment_id)):
            pass
        shipment = (await stub.GetShipment(shipment_pb2.GetShipmentRequest(shipment_id=shipment_id))).shipment
    assert shipment.job.state == job_pb2.JOB_STATE_SUCCEEDED, (shipment.job.error, shipment.results)
    assert [(result.step, result.passed) for result in shipment.results] == [(step, True) for step in range(1, 6)]
    assert (tmp_path / "out" / "model.gguf").is_file() and shipment.locations
