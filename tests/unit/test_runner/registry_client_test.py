"""The registry's client against a gRPC server that answers as the registry does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest
from drillyard.registry.v1 import artifact_pb2, model_pb2, registry_service_pb2_grpc, test_suite_pb2

from services.chassis.channel import open_channel
from services.chassis.errors import FailedPrecondition
from services.protocols.cases import case_to_document
from services.test_runner.clients.registry import RegistryClient
from services.test_runner.domain.test_run import Form
from tests.unit.test_runner.bench import CASES

KINDS = {
    "base@1": (model_pb2.MODEL_VERSION_KIND_BASE, ""),
    "merged@1": (model_pb2.MODEL_VERSION_KIND_MERGED, "adapter@2"),
    "trained@1": (model_pb2.MODEL_VERSION_KIND_TRAINED, "base@1"),
    "adapter@2": (model_pb2.MODEL_VERSION_KIND_ADAPTER, "base@1"),
    "quantized@1": (model_pb2.MODEL_VERSION_KIND_QUANTIZED, "base@1"),
    "gguf@1": (model_pb2.MODEL_VERSION_KIND_GGUF, "adapter@2"),
    "ollama@1": (model_pb2.MODEL_VERSION_KIND_OLLAMA, "gguf@1"),
    "bare-gguf@1": (model_pb2.MODEL_VERSION_KIND_GGUF, ""),
    "base-gguf@1": (model_pb2.MODEL_VERSION_KIND_GGUF, "base@1"),
    "gguf-adapter@1": (model_pb2.MODEL_VERSION_KIND_GGUF_ADAPTER, "adapter@2"),
    "lone-adapter@1": (model_pb2.MODEL_VERSION_KIND_GGUF_ADAPTER, "trained@1"),
    "lost@1": (model_pb2.MODEL_VERSION_KIND_ADAPTER, "quantized@1"),
}


def version_of(model_version_id: str) -> model_pb2.ModelVersion:
    kind, base = KINDS[model_version_id]
    return model_pb2.ModelVersion(
        model_version_id=model_version_id,
        kind=kind,
        base_model_version_id=base,
        context_length=2048,
        artifact=artifact_pb2.Artifact(uri=f"file:///{model_version_id}", digest="sha256:d"),
    )


class Registry(registry_service_pb2_grpc.RegistryServiceServicer):
    """Gives cases in pages of two, and one that is no case in the suite `broken@1`."""

    async def GetModelVersion(
        self, request: model_pb2.GetModelVersionRequest, context: Any
    ) -> model_pb2.GetModelVersionResponse:
        return model_pb2.GetModelVersionResponse(model_version=version_of(request.model_version_id))

    async def ListModelVersions(
        self, request: model_pb2.ListModelVersionsRequest, context: Any
    ) -> model_pb2.ListModelVersionsResponse:
        names, start = list(KINDS), int(request.page_token or 0)
        page = map(version_of, names[start : start + 4])
        token = str(start + 4) if start + 4 < len(names) else ""
        return model_pb2.ListModelVersionsResponse(model_versions=page, next_page_token=token)

    async def ListTestCases(
        self, request: test_suite_pb2.ListTestCasesRequest, context: Any
    ) -> test_suite_pb2.ListTestCasesResponse:
        if request.test_suite_version_id == "broken@1":
            broken = test_suite_pb2.TestCase(case_id="odd", document='{"case_id": 7}')
            return test_suite_pb2.ListTestCasesResponse(test_cases=[broken])
        start = int(request.page_token or 0)
        page = [
            test_suite_pb2.TestCase(case_id=case.case_id, document=json.dumps(case_to_document(case)))
            for case in CASES[start : start + 2]
        ]
        token = str(start + 2) if start + 2 < len(CASES) else ""
        return test_suite_pb2.ListTestCasesResponse(test_cases=page, next_page_token=token)


@pytest.fixture
async def client() -> AsyncIterator[RegistryClient]:
    server = grpc.aio.server()
    registry_service_pb2_grpc.add_RegistryServiceServicer_to_server(Registry(), server)  # type: ignore[abstract]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel = open_channel(f"127.0.0.1:{port}")
    yield RegistryClient(channel)
    await channel.close()
    await server.stop(None)


@pytest.mark.parametrize("version", ["base@1", "merged@1", "trained@1"])
async def test_whole_weights_are_loaded_alone(client: RegistryClient, version: str) -> None:
    found = await client.resolve_model(version)
    assert (found.base.uri, found.adapter) == (f"file:///{version}", None)


async def test_an_adapter_is_loaded_on_the_weights_it_was_made_for(client: RegistryClient) -> None:
    found = await client.resolve_model("adapter@2")
    assert found.model_version_id == "adapter@2"
    assert found.base.uri == "file:///base@1"
    assert found.adapter is not None and found.adapter.uri == "file:///adapter@2"


@pytest.mark.parametrize("version", ["quantized@1", "lost@1"])
async def test_weights_that_cannot_be_loaded_are_refused(client: RegistryClient, version: str) -> None:
    with pytest.raises(FailedPrecondition, match="quantized"):
        await client.resolve_model(version)


async def test_all_pages_of_cases_are_read_in_order(client: RegistryClient) -> None:
    found, token = [], ""
    while True:
        page = await client.list_cases("roo_xml/core@1", token)
        found.append(page.cases)
        token = page.next_token
        if not token:
            break
    assert [len(cases) for cases in found] == [2] * 5
    assert tuple(case for cases in found for case in cases) == CASES


async def test_a_case_that_cannot_be_read_is_named(client: RegistryClient) -> None:
    with pytest.raises(FailedPrecondition, match="odd"):
        await client.list_cases("broken@1", "")


@pytest.mark.parametrize(
    ("version", "weights", "adapter", "form", "original"),
    [
        ("gguf@1", "gguf@1", "", Form.GGUF, "base@1"),
        ("ollama@1", "ollama@1", "", Form.OLLAMA, "base@1"),
        ("bare-gguf@1", "bare-gguf@1", "", Form.GGUF, ""),
        ("gguf-adapter@1", "base-gguf@1", "gguf-adapter@1", Form.GGUF, "base@1"),
    ],
)
async def test_forms_are_served_from_their_files_and_know_their_original(
    client: RegistryClient, version: str, weights: str, adapter: str, form: Form, original: str
) -> None:
    model = await client.resolve_model(version)
    assert (model.base.uri, model.form, model.num_context_tokens) == (f"file:///{weights}", form, 2048)
    assert (model.adapter.uri if model.adapter else "") == (f"file:///{adapter}" if adapter else "")
    assert (model.original.uri if model.original else "") == (f"file:///{original}" if original else "")


async def test_a_gguf_adapter_without_the_gguf_of_its_base_says_how_to_make_one(client: RegistryClient) -> None:
    with pytest.raises(FailedPrecondition, match="put on a GGUF form of trained@1") as raised:
        await client.resolve_model("lone-adapter@1")
    assert "drillyard models export trained@1 --as gguf" in raised.value.next_step
