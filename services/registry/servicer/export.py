"""RPCs of exports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from drillyard.registry.v1 import export_pb2

from services.chassis.jobs.convert import watch_response
from services.registry.convert.export import export_spec, export_to_proto
from services.registry.servicer.context import Context
from services.registry.usecases.export import ExportUseCases


class ExportRpcs:
    """Create, get, list, cancel and watch."""

    exports: ExportUseCases

    async def CreateExport(
        self, request: export_pb2.CreateExportRequest, context: Context
    ) -> export_pb2.CreateExportResponse:
        """Start an export."""
        created = await self.exports.create(request.request_id, export_spec(request.spec))
        return export_pb2.CreateExportResponse(export=export_to_proto(created))

    async def GetExport(self, request: export_pb2.GetExportRequest, context: Context) -> export_pb2.GetExportResponse:
        """Return one export."""
        export = await self.exports.resource.get(request.export_id)
        return export_pb2.GetExportResponse(export=export_to_proto(export))

    async def ListExports(
        self, request: export_pb2.ListExportsRequest, context: Context
    ) -> export_pb2.ListExportsResponse:
        """List exports, newest first."""
        exports, token = await self.exports.resource.list(request.page_size, request.page_token)
        return export_pb2.ListExportsResponse(exports=map(export_to_proto, exports), next_page_token=token)

    async def CancelExport(
        self, request: export_pb2.CancelExportRequest, context: Context
    ) -> export_pb2.CancelExportResponse:
        """Cancel an export."""
        cancelled = await self.exports.resource.cancel(request.export_id)
        return export_pb2.CancelExportResponse(export=export_to_proto(cancelled))

    async def WatchExport(
        self, request: export_pb2.WatchExportRequest, context: Context
    ) -> AsyncIterator[export_pb2.WatchExportResponse]:
        """Stream events until the final one."""
        async with aclosing(self.exports.resource.watch(request.export_id, request.after_sequence)) as events:
            async for event in events:
                yield watch_response(export_pb2.WatchExportResponse, event)
