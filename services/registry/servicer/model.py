"""RPCs of models and of their imports."""

from __future__ import annotations

from functools import partial
from operator import attrgetter

from drillyard.registry.v1 import import_pb2, model_pb2

from services.chassis.calls import Context
from services.chassis.jobs.convert import ResourceRpcs
from services.chassis.wire import from_message, to_message
from services.registry.convert import import_to_proto, source_from_proto
from services.registry.domain.model import Model, ModelFacts, ModelVersion, ModelVersionDraft
from services.registry.domain.paging import page_request
from services.registry.usecases.model import ModelUseCases
from services.registry.usecases.model_import import ImportUseCases


def model_version_to_proto(version: ModelVersion) -> model_pb2.ModelVersion:
    """Return the version as callers see it."""
    return to_message(version, model_pb2.ModelVersion, model_version_id=version.version_id, **vars(version.facts))


_models = ResourceRpcs[Model](attrgetter("models"), partial(to_message, message_type=model_pb2.Model))
_versions = ResourceRpcs(attrgetter("models"), model_version_to_proto)


class ModelRpcs:
    """Get, list and create."""

    models: ModelUseCases
    GetModel = _models.get(model_pb2.GetModelResponse)
    ListModels = _models.list(model_pb2.ListModelsResponse)
    GetModelVersion = _versions.get(model_pb2.GetModelVersionResponse, "get_version")
    DeleteModelVersion = _versions.delete(model_pb2.DeleteModelVersionResponse, "delete_version")

    async def ListModelVersions(
        self, request: model_pb2.ListModelVersionsRequest, context: Context
    ) -> model_pb2.ListModelVersionsResponse:
        """List versions, newest first."""
        page = await self.models.list_versions(request.model_id, page_request(request.page_size, request.page_token))
        return model_pb2.ListModelVersionsResponse(
            model_versions=map(model_version_to_proto, page.items), next_page_token=page.next_token
        )

    async def CreateModelVersion(
        self, request: model_pb2.CreateModelVersionRequest, context: Context
    ) -> model_pb2.CreateModelVersionResponse:
        """Register trained weights."""
        draft = from_message(ModelVersionDraft, request, source=None, facts=ModelFacts("", 0, 0))
        version = await self.models.create_version(draft)
        return model_pb2.CreateModelVersionResponse(model_version=model_version_to_proto(version))


_imports = ResourceRpcs(attrgetter("imports.resource"), import_to_proto)


class ImportRpcs:
    """Create, get, list, cancel and watch."""

    imports: ImportUseCases
    GetImport = _imports.get(import_pb2.GetImportResponse)
    ListImports = _imports.list(import_pb2.ListImportsResponse)
    CancelImport = _imports.cancel(import_pb2.CancelImportResponse)
    WatchImport = _imports.watch(import_pb2.WatchImportResponse)

    async def CreateImport(
        self, request: import_pb2.CreateImportRequest, context: Context
    ) -> import_pb2.CreateImportResponse:
        """Start an import."""
        source = source_from_proto(request.source, request.secret)
        created = await self.imports.create(request.request_id, request.model_id, source, request.base_model_version_id)
        return import_pb2.CreateImportResponse(model_import=import_to_proto(created))
