"""Exports on the wire."""

from __future__ import annotations

from drillyard.registry.v1 import export_pb2

from services.chassis.wire import from_message, to_message
from services.registry.domain.export import Export, ExportSpec


def export_to_proto(export: Export) -> export_pb2.Export:
    """Return the export as callers see it."""
    return to_message(export, export_pb2.Export, export_id=export.job.job_id)


def export_spec(message: export_pb2.ExportSpec) -> ExportSpec:
    """Return what a caller wants to export."""
    return from_message(ExportSpec, message)
