"""RPCs of datasets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from operator import attrgetter

from drillyard.registry.v1 import dataset_file_pb2, dataset_pb2

from services.chassis.artifacts import Artifact
from services.chassis.calls import Context
from services.chassis.jobs.convert import ResourceRpcs
from services.chassis.wire import from_message, to_message
from services.registry.domain.dataset import DatasetFileForm, DatasetSource, DatasetVersion, DatasetVersionDraft
from services.registry.domain.paging import page_request
from services.registry.usecases.dataset import DatasetUseCases

_CHUNK_BYTES = 256 * 1024


def dataset_version_to_proto(version: DatasetVersion) -> dataset_pb2.DatasetVersion:
    """Return the version as callers see it."""
    return to_message(version, dataset_pb2.DatasetVersion, dataset_version_id=version.version_id)


_versions = ResourceRpcs(attrgetter("datasets"), dataset_version_to_proto)


class DatasetRpcs:
    """Create, validate, get, list and export."""

    datasets: DatasetUseCases
    GetDatasetVersion = _versions.get(dataset_pb2.GetDatasetVersionResponse, "get_version")
    DeleteDatasetVersion = _versions.delete(dataset_pb2.DeleteDatasetVersionResponse, "delete_version")

    async def CreateDatasetVersion(
        self, request: dataset_pb2.CreateDatasetVersionRequest, context: Context
    ) -> dataset_pb2.CreateDatasetVersionResponse:
        """Register a dataset version."""
        draft = from_message(
            DatasetVersionDraft, request, num_train_examples=0, num_validation_examples=0, imported_from=""
        )
        registered = await self.datasets.create_version(draft, from_message(DatasetSource, request.source))
        return dataset_pb2.CreateDatasetVersionResponse(
            dataset_version=dataset_version_to_proto(registered.version), num_skipped=registered.num_skipped
        )

    async def ValidateDataset(
        self, request: dataset_pb2.ValidateDatasetRequest, context: Context
    ) -> dataset_pb2.ValidateDatasetResponse:
        """Say which lines of a file are no rows."""
        artifact = from_message(Artifact, request.artifact, media_type="")
        result = await self.datasets.validate(artifact, from_message(DatasetSource, request.source))
        faults = [dataset_pb2.DatasetFault(line=line, problem=problem) for line, problem in result.faults]
        return dataset_pb2.ValidateDatasetResponse(
            num_rows=result.num_train + result.num_validation, num_faults=result.num_faults, faults=faults
        )

    async def ExportDatasetVersion(
        self, request: dataset_file_pb2.ExportDatasetVersionRequest, context: Context
    ) -> AsyncIterator[dataset_file_pb2.ExportDatasetVersionResponse]:
        """Stream a version as a file."""
        wire_form = request.form or dataset_file_pb2.DATASET_FILE_FORM_ROWS
        form = DatasetFileForm(dataset_file_pb2.DatasetFileForm.Name(wire_form).removeprefix("DATASET_FILE_FORM_"))
        async with self.datasets.written(request.dataset_version_id, form) as path:
            with await asyncio.to_thread(path.open, "rb") as file:
                while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
                    yield dataset_file_pb2.ExportDatasetVersionResponse(chunk=chunk)

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
