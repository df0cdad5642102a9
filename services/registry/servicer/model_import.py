"""RPCs of imports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from drillyard.registry.v1 import import_pb2

from services.chassis.jobs.convert import watch_response
from services.registry.convert.model_import import import_to_proto, source_from_proto
from services.registry.servicer.context import Context
from services.registry.usecases.model_import import ImportUseCases


class ImportRpcs:
    """Create, get, list, cancel and watch."""

    imports: ImportUseCases

    async def CreateImport(
        self, request: import_pb2.CreateImportRequest, context: Context
    ) -> import_pb2.CreateImportResponse:
        """Start an import."""
        source = source_from_proto(request.source, request.secret)
        created = await self.imports.create(request.request_id, request.model_id, source, request.base_model_version_id)
        return import_pb2.CreateImportResponse(model_import=import_to_proto(created))

    async def GetImport(self, request: import_pb2.GetImportRequest, context: Context) -> import_pb2.GetImportResponse:
        """Return one import."""
        return import_pb2.GetImportResponse(
            model_import=import_to_proto(await self.imports.resource.get(request.import_id))
        )

    async def ListImports(
        self, request: import_pb2.ListImportsRequest, context: Context
    ) -> import_pb2.ListImportsResponse:
        """List imports, newest first."""
        imports, token = await self.imports.resource.list(request.page_size, request.page_token)
        return import_pb2.ListImportsResponse(imports=map(import_to_proto, imports), next_page_token=token)

    async def CancelImport(
        self, request: import_pb2.CancelImportRequest, context: Context
    ) -> import_pb2.CancelImportResponse:
        """Cancel an import."""
        cancelled = await self.imports.resource.cancel(request.import_id)
        return import_pb2.CancelImportResponse(model_import=import_to_proto(cancelled))

    async def WatchImport(
        self, request: import_pb2.WatchImportRequest, context: Context
    ) -> AsyncIterator[import_pb2.WatchImportResponse]:
        """Stream events until the final one."""
        async with aclosing(self.imports.resource.watch(request.import_id, request.after_sequence)) as events:
            async for event in events:
                yield watch_response(import_pb2.WatchImportResponse, event)
