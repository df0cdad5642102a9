"""RPCs of datasets, of their rows and of their imports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from operator import attrgetter

from drillyard.registry.v1 import dataset_file_pb2, dataset_import_pb2, dataset_pb2

from services.chassis.artifacts import Artifact
from services.chassis.calls import Context
from services.chassis.jobs.convert import ResourceRpcs
from services.chassis.wire import from_message, to_message
from services.registry.domain.dataset import (
    DatasetFileForm,
    DatasetImport,
    DatasetSource,
    DatasetVersion,
    DatasetVersionDraft,
)
from services.registry.domain.paging import page_request
from services.registry.usecases.dataset import DatasetUseCases
from services.registry.usecases.dataset_import import DatasetImportUseCases
from services.registry.usecases.dataset_rows import DatasetRowUseCases
from services.registry.usecases.row_index import StoredRow

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


class DatasetRowRpcs:
    """List, count and change."""

    dataset_rows: DatasetRowUseCases

    async def ListDatasetRows(
        self, request: dataset_pb2.ListDatasetRowsRequest, context: Context
    ) -> dataset_pb2.ListDatasetRowsResponse:
        """List the rows of a version in their order."""
        filters = {name: getattr(request, name) for name in ("split", "tool", "cause", "reason")}
        page = await self.dataset_rows.list_rows(
            request.dataset_version_id, filters, page_request(request.page_size, request.page_token)
        )
        return dataset_pb2.ListDatasetRowsResponse(
            dataset_rows=map(_row_to_proto, page.items), next_page_token=page.next_token
        )

    async def GetDatasetMix(
        self, request: dataset_pb2.GetDatasetMixRequest, context: Context
    ) -> dataset_pb2.GetDatasetMixResponse:
        """Say what a version is made of."""
        mix = await self.dataset_rows.mix(request.dataset_version_id)
        parts = [to_message(part, dataset_pb2.DatasetPart) for part in mix.parts]
        version = dataset_version_to_proto(mix.version)
        return dataset_pb2.GetDatasetMixResponse(dataset_version=version, parts=parts, num_pairs=mix.num_pairs)

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


def _row_to_proto(stored: StoredRow) -> dataset_pb2.DatasetRow:
    return to_message(stored.row, dataset_pb2.DatasetRow, line=stored.line, document=stored.document)


def dataset_import_to_proto(dataset_import: DatasetImport) -> dataset_import_pb2.DatasetImport:
    """Return the import as callers see it."""
    return to_message(dataset_import, dataset_import_pb2.DatasetImport, dataset_import_id=dataset_import.job.job_id)


_imports = ResourceRpcs(attrgetter("dataset_imports.resource"), dataset_import_to_proto)


class DatasetImportRpcs:
    """Create, get, list, cancel and watch."""

    dataset_imports: DatasetImportUseCases
    GetDatasetImport = _imports.get(dataset_import_pb2.GetDatasetImportResponse)
    ListDatasetImports = _imports.list(dataset_import_pb2.ListDatasetImportsResponse)
    CancelDatasetImport = _imports.cancel(dataset_import_pb2.CancelDatasetImportResponse)
    WatchDatasetImport = _imports.watch(dataset_import_pb2.WatchDatasetImportResponse)

    async def CreateDatasetImport(
        self, request: dataset_import_pb2.CreateDatasetImportRequest, context: Context
    ) -> dataset_import_pb2.CreateDatasetImportResponse:
        """Start an import."""
        artifact = from_message(Artifact, request.artifact, media_type="")
        source = from_message(DatasetSource, request.source)
        created = await self.dataset_imports.create(request.request_id, request.dataset_id, artifact, source)
        return dataset_import_pb2.CreateDatasetImportResponse(dataset_import=dataset_import_to_proto(created))
