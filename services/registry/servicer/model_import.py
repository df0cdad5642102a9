"""RPCs of imports."""

from __future__ import annotations

from operator import attrgetter

from drillyard.registry.v1 import import_pb2

from services.chassis.calls import Context
from services.chassis.jobs.convert import ResourceRpcs
from services.registry.convert.model_import import import_to_proto, source_from_proto
from services.registry.usecases.model_import import ImportUseCases

_rpcs = ResourceRpcs(attrgetter("imports.resource"), import_to_proto)


class ImportRpcs:
    """Create, get, list, cancel and watch."""

    imports: ImportUseCases
    GetImport = _rpcs.get(import_pb2.GetImportResponse)
    ListImports = _rpcs.list(import_pb2.ListImportsResponse)
    CancelImport = _rpcs.cancel(import_pb2.CancelImportResponse)
    WatchImport = _rpcs.watch(import_pb2.WatchImportResponse)

    async def CreateImport(
        self, request: import_pb2.CreateImportRequest, context: Context
    ) -> import_pb2.CreateImportResponse:
        """Start an import."""
        source = source_from_proto(request.source, request.secret)
        created = await self.imports.create(request.request_id, request.model_id, source, request.base_model_version_id)
        return import_pb2.CreateImportResponse(model_import=import_to_proto(created))
