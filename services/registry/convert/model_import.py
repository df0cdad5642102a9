"""Imports on the wire."""

from __future__ import annotations

from drillyard.registry.v1 import artifact_pb2, import_pb2

from services.chassis.artifacts import Artifact
from services.chassis.errors import InvalidArgument
from services.chassis.wire import from_message, to_message
from services.registry.domain.model_import import Import, ImportSource, SourceKind


def import_to_proto(model_import: Import) -> import_pb2.Import:
    """Return the import as callers see it."""
    place, source = model_import.source, import_pb2.ImportSource()
    if place.artifact:
        source.artifact.CopyFrom(to_message(place.artifact, artifact_pb2.Artifact))
    else:
        setattr(source, place.kind.value, place.value)
    return to_message(model_import, import_pb2.Import, import_id=model_import.job.job_id, source=source)


def source_from_proto(message: import_pb2.ImportSource, secret: str) -> ImportSource:
    """Return where a caller's model comes from.

    Raises:
        InvalidArgument: No place is set.
    """
    name = message.WhichOneof("source")
    if name is None:
        raise InvalidArgument("source names no place.", "Set one, such as hub_id or gguf_path.", field="source")
    if name == "artifact":
        artifact = from_message(Artifact, message.artifact)
        return ImportSource(SourceKind.ARTIFACT, artifact.uri, secret, artifact)
    return ImportSource(SourceKind(name), getattr(message, name), secret)
