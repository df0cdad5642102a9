"""Datasets on the wire."""

from __future__ import annotations

from drillyard.registry.v1 import dataset_pb2

from services.chassis.wire import from_message, to_message
from services.registry.domain.dataset import DatasetVersion, DatasetVersionDraft


def dataset_version_to_proto(version: DatasetVersion) -> dataset_pb2.DatasetVersion:
    """Return the version as callers see it."""
    return to_message(version, dataset_pb2.DatasetVersion, dataset_version_id=version.version_id)


def dataset_version_draft(request: dataset_pb2.CreateDatasetVersionRequest) -> DatasetVersionDraft:
    """Return what a caller asks to register; its rows are not counted yet."""
    return from_message(DatasetVersionDraft, request, num_train_examples=0, num_validation_examples=0)
