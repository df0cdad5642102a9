"""RPCs of models."""

from __future__ import annotations

from drillyard.registry.v1 import model_pb2

from services.chassis.calls import Context
from services.chassis.wire import from_message, to_message
from services.registry.domain.model import ModelFacts, ModelVersion, ModelVersionDraft
from services.registry.domain.paging import page_request
from services.registry.usecases.model import ModelUseCases


class ModelRpcs:
    """Get, list and create."""

    models: ModelUseCases

    async def GetModel(self, request: model_pb2.GetModelRequest, context: Context) -> model_pb2.GetModelResponse:
        """Return one model."""
        return model_pb2.GetModelResponse(model=to_message(await self.models.get(request.model_id), model_pb2.Model))

    async def ListModels(self, request: model_pb2.ListModelsRequest, context: Context) -> model_pb2.ListModelsResponse:
        """List models by id."""
        page = await self.models.list(page_request(request.page_size, request.page_token))
        return model_pb2.ListModelsResponse(
            models=[to_message(model, model_pb2.Model) for model in page.items], next_page_token=page.next_token
        )

    async def DeleteModelVersion(
        self, request: model_pb2.DeleteModelVersionRequest, context: Context
    ) -> model_pb2.DeleteModelVersionResponse:
        """Delete one version."""
        await self.models.delete_version(request.model_version_id)
        return model_pb2.DeleteModelVersionResponse()

    async def GetModelVersion(
        self, request: model_pb2.GetModelVersionRequest, context: Context
    ) -> model_pb2.GetModelVersionResponse:
        """Return one version."""
        version = await self.models.get_version(request.model_version_id)
        return model_pb2.GetModelVersionResponse(model_version=model_version_to_proto(version))

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


def model_version_to_proto(version: ModelVersion) -> model_pb2.ModelVersion:
    """Return the version as callers see it."""
    return to_message(version, model_pb2.ModelVersion, model_version_id=version.version_id, **vars(version.facts))
