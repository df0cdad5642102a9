"""Use cases of imports of datasets."""

from __future__ import annotations

from services.chassis.artifacts import Artifact
from services.chassis.jobs import JobResource, JobStore, each
from services.chassis.wire.names import check_dataset_id
from services.registry.domain.dataset import (
    DATASET_IMPORT_KIND,
    DatasetImport,
    DatasetSource,
    dataset_import_of,
    dataset_import_spec,
)
from services.registry.domain.identifiers import check_request_id
from services.registry.domain.jsonl import check_size
from services.registry.usecases.dataset import MAX_DATASET_BYTES


class DatasetImportUseCases:
    """Starts imports; `resource` does what every kind of job lets callers do."""

    def __init__(self, jobs: JobStore) -> None:
        self.resource = JobResource(jobs, DATASET_IMPORT_KIND, "dataset import", each(dataset_import_of))

    async def create(
        self, request_id: str, dataset_id: str, artifact: Artifact, source: DatasetSource
    ) -> DatasetImport:
        """Store an import and return it at once.

        Raises:
            InvalidArgument: The dataset's id is wrong, or the file too large.
            AlreadyExists: The request_id was used with other words.
        """
        check_request_id(request_id)
        check_dataset_id(dataset_id)
        check_size(artifact.size_bytes, MAX_DATASET_BYTES)
        spec = dataset_import_spec(dataset_id, artifact, source)
        return await self.resource.add(request_id, spec)
