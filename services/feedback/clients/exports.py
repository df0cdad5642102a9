"""The registry's exports and publications over gRPC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc.aio
from drillyard.registry.v1 import export_pb2, model_pb2, publication_pb2, registry_service_pb2_grpc
from google.protobuf.json_format import ParseDict

from services.chassis.waiting import patiently
from services.feedback.clients.jobs import JobClient
from services.feedback.domain.work import ModelFacts

_PEER = "the registry"
_TRAINED = (model_pb2.MODEL_VERSION_KIND_ADAPTER, model_pb2.MODEL_VERSION_KIND_TRAINED)


class GrpcExports(JobClient):
    """Implements `ports.neighbours.Exports`; every call is patient."""

    _peer = _PEER
    _noun = "Export"
    _messages = export_pb2

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = registry_service_pb2_grpc.RegistryServiceStub(channel)

    async def start(self, request_id: str, spec: Mapping[str, Any]) -> str:
        """Start an export once per request id and return its id."""
        request = export_pb2.CreateExportRequest(
            request_id=request_id, spec=ParseDict(dict(spec), export_pb2.ExportSpec())
        )
        return str((await patiently(lambda: self._stub.CreateExport(request), _PEER)).export.export_id)

    async def form(self, export_id: str) -> str:
        """Return the version that an export which has SUCCEEDED made."""
        return str((await self._get(export_id)).model_version_id)

    async def model(self, model_version_id: str) -> ModelFacts:
        """Return what a version was trained from and by which job, of merged weights what their adapter was.

        Raises:
            NotFound: There is no such version.
        """
        version = await patiently(lambda: self._version(model_version_id), _PEER)
        original = version
        if version.kind == model_pb2.MODEL_VERSION_KIND_MERGED and version.base_model_version_id:
            original = await patiently(lambda: self._version(version.base_model_version_id), _PEER)
        base = original.base_model_version_id if original.kind in _TRAINED else ""
        maker, _, job_id = original.produced_by.partition(":")
        return ModelFacts(version.model_version_id, base, job_id if maker == "training_job" else "")

    async def _version(self, model_version_id: str) -> model_pb2.ModelVersion:
        request = model_pb2.GetModelVersionRequest(model_version_id=model_version_id)
        version: model_pb2.ModelVersion = (await self._stub.GetModelVersion(request)).model_version
        return version


class GrpcPublications(JobClient):
    """Implements `ports.neighbours.Publications`; every call is patient."""

    _peer = _PEER
    _noun = "Publication"
    _messages = publication_pb2

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = registry_service_pb2_grpc.RegistryServiceStub(channel)

    async def start(self, request_id: str, model_version_id: str, destination: Mapping[str, Any], card: str) -> str:
        """Start a publication once per request id and return its id; `card` goes into the model card."""
        spec = publication_pb2.PublicationSpec(
            model_version_id=model_version_id,
            card=card,
            destination=ParseDict(dict(destination), publication_pb2.Destination()),
        )
        request = publication_pb2.CreatePublicationRequest(request_id=request_id, spec=spec)
        return str((await patiently(lambda: self._stub.CreatePublication(request), _PEER)).publication.publication_id)

    async def location(self, publication_id: str) -> str:
        """Return where a version is that was published."""
        return str((await self._get(publication_id)).location)
