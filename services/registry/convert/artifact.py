"""Artifacts and times on the wire."""

from __future__ import annotations

from datetime import datetime

from drillyard.registry.v1 import artifact_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.artifacts import Artifact


def artifact_to_proto(artifact: Artifact) -> artifact_pb2.Artifact:
    """Return the artifact as callers see it."""
    return artifact_pb2.Artifact(uri=artifact.uri, digest=artifact.digest, size_bytes=artifact.size_bytes)


def artifact_from_proto(message: artifact_pb2.Artifact) -> Artifact:
    """Return what a caller claims."""
    return Artifact(message.uri, message.digest, message.size_bytes)


def time_to_proto(time: datetime) -> Timestamp:
    """Return an aware time."""
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp
