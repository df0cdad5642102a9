"""A list's page is cut where it would grow above the limit of a message, whatever service lists."""

from __future__ import annotations

from typing import Any

import pytest
from drillyard.evaluator.v1 import evaluator_service_pb2
from drillyard.feedback.v1 import feedback_service_pb2
from drillyard.registry.v1 import model_pb2, registry_service_pb2, registry_service_pb2_grpc
from drillyard.test_runner.v1 import test_runner_service_pb2
from drillyard.trainer.v1 import trainer_service_pb2
from google.protobuf.descriptor import MethodDescriptor

from services.chassis.calls import CallLimit
from services.chassis.channel import open_channel
from services.chassis.server import Server
from services.chassis.telemetry import Telemetry
from services.chassis.wire.paging import MAX_PAGE_BYTES, checked_page_size, page_of, place_of

SERVICES = (
    registry_service_pb2,
    test_runner_service_pb2,
    evaluator_service_pb2,
    trainer_service_pb2,
    feedback_service_pb2,
)
LISTS = [
    method
    for module in SERVICES
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
    if method.name.startswith("List")
]
TEXT = "m" * 50_000


class LongList(registry_service_pb2_grpc.RegistryServiceServicer):
    """Lists 600 models of 50 kB each."""

    def __init__(self) -> None:
        self.page_sizes: list[int] = []

    async def ListModels(self, request: model_pb2.ListModelsRequest, context: Any) -> model_pb2.ListModelsResponse:
        self.page_sizes.append(request.page_size)
        size, after = checked_page_size(request.page_size), place_of(request.page_token, 0)
        page, token = page_of(range(after + 1, min(after + size + 1, 600) + 1), size, lambda number: number)
        models = [model_pb2.Model(model_id=TEXT, latest_version=number) for number in page]
        return model_pb2.ListModelsResponse(models=models, next_page_token=token)


async def test_a_page_too_large_for_a_message_is_cut_and_the_rest_comes_on_the_next_ones() -> None:
    servicer = LongList()
    server = Server(Telemetry(), CallLimit(4, 2))
    server.add_servicer(registry_service_pb2_grpc.add_RegistryServiceServicer_to_server, servicer, "Registry")
    port = server.bind("127.0.0.1", 0, reflection=False)
    await server.start()
    numbers, token = [], None
    async with open_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = registry_service_pb2_grpc.RegistryServiceStub(channel)  # type: ignore[no-untyped-call]
        while token != "":
            page = await stub.ListModels(model_pb2.ListModelsRequest(page_size=1000, page_token=token or ""))
            assert page.ByteSize() <= MAX_PAGE_BYTES
            numbers += [model.latest_version for model in page.models]
            token = page.next_page_token
    await server.drain(0)
    assert numbers == list(range(1, 601))
    assert servicer.page_sizes[:3] == [1000, 251, 1000]


@pytest.mark.parametrize("method", LISTS, ids=lambda method: method.name)
def test_every_list_has_one_kind_of_entry_and_takes_a_page_size(method: MethodDescriptor) -> None:
    assert {"page_size", "page_token"} <= set(method.input_type.fields_by_name)
    assert "next_page_token" in method.output_type.fields_by_name
    assert sum(field.is_repeated for field in method.output_type.fields) == 1
