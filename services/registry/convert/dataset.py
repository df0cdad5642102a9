"""Datasets on the wire."""

from __future__ import annotations

from drillyard.registry.v1 import dataset_pb2

from services.registry.convert.artifact import artifact_from_proto, artifact_to_proto, time_to_proto
from services.registry.domain.dataset import DatasetVersion, DatasetVersionDraft


def dataset_version_to_proto(version: DatasetVersion) -> dataset_pb2.DatasetVersion:
    """Return the version as callers see it."""
    return dataset_pb2.DatasetVersion(
        dataset_version_id=version.version_id,
        dataset_id=version.dataset_id,
        version=version.version,
        artifact=artifact_to_proto(version.artifact),
        num_train_examples=version.num_train_examples,
        num_validation_examples=version.num_validation_examples,
        produced_by=version.produced_by,
        create_time=time_to_proto(version.create_time),
    )


def dataset_version_draft(request: dataset_pb2.CreateDatasetVersionRequest) -> DatasetVersionDraft:
    """Return what a caller asks to register; its rows are not counted yet."""
    return DatasetVersionDraft(
        request_id=request.request_id,
        dataset_id=request.dataset_id,
        artifact=artifact_from_proto(request.artifact),
        produced_by=request.produced_by,
        num_train_examples=0,
        num_validation_examples=0,
    )
