"""RPCs of imports of datasets."""

from __future__ import annotations

from operator import attrgetter

from drillyard.registry.v1 import dataset_import_pb2

from services.chassis.artifacts import Artifact
from services.chassis.calls import Context
from services.chassis.jobs.convert import ResourceRpcs
from services.chassis.wire import from_message, to_message
from services.registry.domain.dataset import DatasetSource
from services.registry.domain.dataset_import import DatasetImport
from services.registry.usecases.dataset_import import DatasetImportUseCases


def dataset_import_to_proto(dataset_import: DatasetImport) -> dataset_import_pb2.DatasetImport:
    """Return the import as callers see it."""
    return to_message(dataset_import, dataset_import_pb2.DatasetImport, dataset_import_id=dataset_import.job.job_id)


_rpcs = ResourceRpcs(attrgetter("dataset_imports.resource"), dataset_import_to_proto)


class DatasetImportRpcs:
    """Create, get, list, cancel and watch."""

    dataset_imports: DatasetImportUseCases
    GetDatasetImport = _rpcs.get(dataset_import_pb2.GetDatasetImportResponse)
    ListDatasetImports = _rpcs.list(dataset_import_pb2.ListDatasetImportsResponse)
    CancelDatasetImport = _rpcs.cancel(dataset_import_pb2.CancelDatasetImportResponse)
    WatchDatasetImport = _rpcs.watch(dataset_import_pb2.WatchDatasetImportResponse)

    async def CreateDatasetImport(
        self, request: dataset_import_pb2.CreateDatasetImportRequest, context: Context
    ) -> dataset_import_pb2.CreateDatasetImportResponse:
        """Start an import."""
        artifact = from_message(Artifact, request.artifact, media_type="")
        source = from_message(DatasetSource, request.source)
        created = await self.dataset_imports.create(request.request_id, request.dataset_id, artifact, source)
        return dataset_import_pb2.CreateDatasetImportResponse(dataset_import=dataset_import_to_proto(created))
