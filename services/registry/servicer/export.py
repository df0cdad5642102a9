"""RPCs of exports, publications and deployments."""

from __future__ import annotations

from drillyard.registry.v1 import export_pb2

from services.registry.servicer.context import Context
from services.registry.usecases.export import ExportUseCases


class ExportRpcs:
    """What leaves the registry."""

    exports: ExportUseCases

    async def CreateExport(
        self, request: export_pb2.CreateExportRequest, context: Context
    ) -> export_pb2.CreateExportResponse:
        """Refuse: not built in this version."""
        await self.exports.create_export()
        return export_pb2.CreateExportResponse()

    async def CreateDeployment(
        self, request: export_pb2.CreateDeploymentRequest, context: Context
    ) -> export_pb2.CreateDeploymentResponse:
        """Refuse: not built in this version."""
        await self.exports.create_deployment()
        return export_pb2.CreateDeploymentResponse()

    async def Publish(self, request: export_pb2.PublishRequest, context: Context) -> export_pb2.PublishResponse:
        """Refuse: not built in this version."""
        await self.exports.publish()
        return export_pb2.PublishResponse()
