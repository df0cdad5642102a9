"""RPCs of datasets."""

from __future__ import annotations

from drillyard.registry.v1 import dataset_pb2

from services.chassis.calls import Context
from services.chassis.wire import from_message, to_message
from services.registry.domain.dataset import DatasetVersion, DatasetVersionDraft
from services.registry.domain.paging import page_request
from services.registry.usecases.dataset import DatasetUseCases


class DatasetRpcs:
    """Create, get and list."""

    datasets: DatasetUseCases

    async def CreateDatasetVersion(
        self, request: dataset_pb2.CreateDatasetVersionRequest, context: Context
    ) -> dataset_pb2.CreateDatasetVersionResponse:
        """Register a dataset version."""
        draft = from_message(DatasetVersionDraft, request, num_train_examples=0, num_validation_examples=0)
        version = await self.datasets.create_version(draft)
        return dataset_pb2.CreateDatasetVersionResponse(dataset_version=dataset_version_to_proto(version))

    async def DeleteDatasetVersion(
        self, request: dataset_pb2.DeleteDatasetVersionRequest, context: Context
    ) -> dataset_pb2.DeleteDatasetVersionResponse:
        """Delete one version."""
        await self.datasets.delete_version(request.dataset_version_id)
        return dataset_pb2.DeleteDatasetVersionResponse()

    async def GetDatasetVersion(
        self, request: dataset_pb2.GetDatasetVersionRequest, context: Context
    ) -> dataset_pb2.GetDatasetVersionResponse:
        """Return one dataset version."""
        version = await self.datasets.get_version(request.dataset_version_id)
        return dataset_pb2.GetDatasetVersionResponse(dataset_version=dataset_version_to_proto(version))

    async def ListDatasetVersions(
        self, request: dataset_pb2.ListDatasetVersionsRequest, context: Context
    ) -> dataset_pb2.ListDatasetVersionsResponse:
        """List dataset versions, newest first."""
        page = await self.datasets.list_versions(
            request.dataset_id, page_request(request.page_size, request.page_token)
        )
        return dataset_pb2.ListDatasetVersionsResponse(
            dataset_versions=map(dataset_version_to_proto, page.items), next_page_token=page.next_token
        )


def dataset_version_to_proto(version: DatasetVersion) -> dataset_pb2.DatasetVersion:
    """Return the version as callers see it."""
    return to_message(version, dataset_pb2.DatasetVersion, dataset_version_id=version.version_id)
