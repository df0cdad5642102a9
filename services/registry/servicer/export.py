"""RPCs of exports."""

from __future__ import annotations

from functools import partial
from operator import attrgetter

from drillyard.registry.v1 import export_pb2

from services.chassis.jobs.convert import ResourceRpcs
from services.chassis.wire import from_message, to_message
from services.registry.domain.export import Export, ExportSpec
from services.registry.usecases.export import ExportUseCases


def export_to_proto(export: Export) -> export_pb2.Export:
    """Return the export as callers see it."""
    return to_message(export, export_pb2.Export, export_id=export.job.job_id)


_rpcs = ResourceRpcs(attrgetter("exports.resource"), export_to_proto)


class ExportRpcs:
    """Create, get, list, cancel and watch."""

    exports: ExportUseCases
    CreateExport = _rpcs.create(
        export_pb2.CreateExportResponse, partial(from_message, ExportSpec), attrgetter("exports.create")
    )
    GetExport = _rpcs.get(export_pb2.GetExportResponse)
    ListExports = _rpcs.list(export_pb2.ListExportsResponse)
    CancelExport = _rpcs.cancel(export_pb2.CancelExportResponse)
    WatchExport = _rpcs.watch(export_pb2.WatchExportResponse)
