"""Datasets on the wire."""

from __future__ import annotations

from drillyard.registry.v1 import dataset_pb2

from services.chassis.wire import from_message, to_message
from services.registry.domain.dataset import DatasetVersion, DatasetVersionDraft
from services.registry.usecases.dataset_rows import DatasetFaults, DatasetMix, StoredRow


def dataset_version_to_proto(version: DatasetVersion) -> dataset_pb2.DatasetVersion:
    """Return the version as callers see it."""
    return to_message(version, dataset_pb2.DatasetVersion, dataset_version_id=version.version_id)


def dataset_version_draft(request: dataset_pb2.CreateDatasetVersionRequest) -> DatasetVersionDraft:
    """Return what a caller asks to register; its rows are not counted yet."""
    return from_message(DatasetVersionDraft, request, num_train_examples=0, num_validation_examples=0)


def wanted_rows(request: dataset_pb2.ListDatasetRowsRequest) -> dict[str, str]:
    """Return the names that rows must have; an empty one lets all through."""
    return {name: getattr(request, name) for name in ("split", "tool", "cause", "reason")}


def row_to_proto(stored: StoredRow) -> dataset_pb2.DatasetRow:
    """Return a row with its JSON text."""
    return to_message(stored.row, dataset_pb2.DatasetRow, line=stored.line, document=stored.document)


def mix_to_proto(mix: DatasetMix) -> dataset_pb2.GetDatasetMixResponse:
    """Return what a version is made of."""
    parts = [to_message(part, dataset_pb2.DatasetPart) for part in mix.parts]
    version = dataset_version_to_proto(mix.version)
    return dataset_pb2.GetDatasetMixResponse(dataset_version=version, parts=parts, num_pairs=mix.num_pairs)


def faults_to_proto(faults: DatasetFaults) -> dataset_pb2.ValidateDatasetResponse:
    """Return which lines of a file are no rows."""
    told = [dataset_pb2.DatasetFault(line=line, problem=problem) for line, problem in faults.faults]
    return dataset_pb2.ValidateDatasetResponse(num_rows=faults.num_rows, num_faults=faults.num_faults, faults=told)
