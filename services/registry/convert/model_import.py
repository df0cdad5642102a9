"""Imports on the wire."""

from __future__ import annotations

from drillyard.registry.v1 import import_pb2

from services.chassis.errors import InvalidArgument
from services.chassis.wire import to_message
from services.registry.domain.model_import import Import, ImportSource, SourceKind


def import_to_proto(model_import: Import) -> import_pb2.Import:
    """Return the import as callers see it."""
    source = import_pb2.ImportSource()
    setattr(source, model_import.source.kind.value, model_import.source.value)
    return to_message(model_import, import_pb2.Import, import_id=model_import.job.job_id, source=source)


def source_from_proto(message: import_pb2.ImportSource) -> ImportSource:
    """Return where a caller's model comes from.

    Raises:
        InvalidArgument: No place is set.
    """
    name = message.WhichOneof("source")
    if name is None:
        raise InvalidArgument("source names no place.", "Set gguf_path or folder_path.", field="source")
    return ImportSource(SourceKind(name), getattr(message, name))
