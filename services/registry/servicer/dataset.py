"""RPCs of datasets."""

from __future__ import annotations

from drillyard.registry.v1 import dataset_pb2

from services.chassis.artifacts import Artifact
from services.chassis.wire import from_message
from services.registry.convert.dataset import (
    dataset_version_draft,
    dataset_version_to_proto,
    faults_to_proto,
    mix_to_proto,
    row_to_proto,
    wanted_rows,
)
from services.registry.domain.paging import page_request
from services.registry.servicer.context import Context
from services.registry.usecases.dataset import DatasetUseCases
from services.registry.usecases.dataset_rows import DatasetRowUseCases


class DatasetRpcs:
    """Create, get, list, and the rows."""

    datasets: DatasetUseCases
    dataset_rows: DatasetRowUseCases

    async def CreateDatasetVersion(
        self, request: dataset_pb2.CreateDatasetVersionRequest, context: Context
    ) -> dataset_pb2.CreateDatasetVersionResponse:
        """Register a dataset version."""
        version = await self.datasets.create_version(dataset_version_draft(request))
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

    async def ListDatasetRows(
        self, request: dataset_pb2.ListDatasetRowsRequest, context: Context
    ) -> dataset_pb2.ListDatasetRowsResponse:
        """List the rows of a version in their order."""
        page = await self.dataset_rows.list_rows(
            request.dataset_version_id, wanted_rows(request), page_request(request.page_size, request.page_token)
        )
        return dataset_pb2.ListDatasetRowsResponse(
            dataset_rows=map(row_to_proto, page.items), next_page_token=page.next_token
        )

    async def GetDatasetMix(
        self, request: dataset_pb2.GetDatasetMixRequest, context: Context
    ) -> dataset_pb2.GetDatasetMixResponse:
        """Say what a version is made of."""
        return mix_to_proto(await self.dataset_rows.mix(request.dataset_version_id))

    async def ReviseDatasetVersion(
        self, request: dataset_pb2.ReviseDatasetVersionRequest, context: Context
    ) -> dataset_pb2.ReviseDatasetVersionResponse:
        """Register a version that is another one with rows dropped or edited."""
        version = await self.dataset_rows.revise(
            request.request_id,
            request.dataset_version_id,
            dropped=request.dropped_example_ids,
            edited=request.edited_documents,
        )
        return dataset_pb2.ReviseDatasetVersionResponse(dataset_version=dataset_version_to_proto(version))

    async def ValidateDataset(
        self, request: dataset_pb2.ValidateDatasetRequest, context: Context
    ) -> dataset_pb2.ValidateDatasetResponse:
        """Say which lines of a file are no rows."""
        return faults_to_proto(
            await self.dataset_rows.validate(from_message(Artifact, request.artifact, media_type=""))
        )
