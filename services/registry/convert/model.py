"""Models on the wire."""

from __future__ import annotations

from drillyard.registry.v1 import model_pb2

from services.chassis.wire import from_message, to_message
from services.registry.domain.model import ModelFacts, ModelVersion, ModelVersionDraft


def model_version_to_proto(version: ModelVersion) -> model_pb2.ModelVersion:
    """Return the version as callers see it."""
    return to_message(version, model_pb2.ModelVersion, model_version_id=version.version_id, **vars(version.facts))


def model_version_draft(request: model_pb2.CreateModelVersionRequest) -> ModelVersionDraft:
    """Return what a caller asks to register; its facts are not known yet."""
    return from_message(ModelVersionDraft, request, source=None, facts=ModelFacts("", 0, 0))
