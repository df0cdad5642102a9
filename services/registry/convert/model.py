"""Models on the wire."""

from __future__ import annotations

from drillyard.registry.v1 import model_pb2

from services.chassis.errors import InvalidArgument
from services.registry.convert.artifact import artifact_from_proto, artifact_to_proto, time_to_proto
from services.registry.domain.model import Model, ModelFacts, ModelVersion, ModelVersionDraft, ModelVersionKind

_NUMBERS = {kind: model_pb2.ModelVersionKind.Value(f"MODEL_VERSION_KIND_{kind.name}") for kind in ModelVersionKind}
_KINDS: dict[int, ModelVersionKind] = {number: kind for kind, number in _NUMBERS.items()}


def model_to_proto(model: Model) -> model_pb2.Model:
    """Return the model as callers see it."""
    return model_pb2.Model(
        model_id=model.model_id, latest_version=model.latest_version, create_time=time_to_proto(model.create_time)
    )


def model_version_to_proto(version: ModelVersion) -> model_pb2.ModelVersion:
    """Return the version as callers see it."""
    return model_pb2.ModelVersion(
        model_version_id=version.version_id,
        model_id=version.model_id,
        version=version.version,
        kind=_NUMBERS[version.kind],
        base_model_version_id=version.base_model_version_id,
        artifact=artifact_to_proto(version.artifact),
        source=None if version.source is None else artifact_to_proto(version.source),
        produced_by=version.produced_by,
        architecture=version.facts.architecture,
        num_parameters=version.facts.num_parameters,
        context_length=version.facts.context_length,
        create_time=time_to_proto(version.create_time),
    )


def model_version_draft(request: model_pb2.CreateModelVersionRequest) -> ModelVersionDraft:
    """Return what a caller asks to register; its facts are not known yet.

    Raises:
        InvalidArgument: The kind is not set, or is unknown.
    """
    return ModelVersionDraft(
        request_id=request.request_id,
        model_id=request.model_id,
        kind=_kind(request.kind),
        base_model_version_id=request.base_model_version_id,
        artifact=artifact_from_proto(request.artifact),
        source=None,
        produced_by=request.produced_by,
        facts=ModelFacts("", 0, 0),
    )


def _kind(number: int) -> ModelVersionKind:
    if number not in _KINDS:
        raise InvalidArgument("kind is not set, or is unknown to this version.", "Set kind.", field="kind")
    return _KINDS[number]
