"""An import of a dataset: the job that makes a version of a file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from services.chassis.artifacts import Artifact
from services.chassis.jobs import Job
from services.registry.domain.dataset import DatasetFormat, DatasetSource

DATASET_IMPORT_KIND = "dataset_import"


class DatasetImportPhase(StrEnum):
    """What an import does now."""

    READ = "read"


@dataclass(frozen=True)
class DatasetImport:
    """An import and the job that does it."""

    dataset_id: str
    artifact: Artifact
    source: DatasetSource
    job: Job

    @property
    def dataset_version_id(self) -> str:
        """The version that it registered; empty until the job has succeeded."""
        return str((self.job.result or {}).get("dataset_version_id", ""))

    @property
    def num_skipped(self) -> int:
        """How many rows were left out, since they are wrong."""
        return int((self.job.saved or {}).get("num_skipped", 0))


def dataset_import_of(job: Job) -> DatasetImport:
    """Return the import that a job of kind `DATASET_IMPORT_KIND` is."""
    source = job.spec["source"]
    return DatasetImport(
        job.spec["dataset_id"],
        Artifact(**job.spec["artifact"]),
        DatasetSource(**{**source, "format": DatasetFormat(source["format"])}),
        job,
    )


def dataset_import_spec(dataset_id: str, artifact: Artifact, source: DatasetSource) -> dict[str, Any]:
    """Return what is stored as the job's spec."""
    how = {**asdict(source), "format": str(source.format)}
    return {"dataset_id": dataset_id, "artifact": asdict(artifact), "source": how}
