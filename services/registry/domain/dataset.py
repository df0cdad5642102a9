"""Datasets, their immutable versions, and the jobs that make a version of a file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from services.chassis.artifacts import Artifact
from services.chassis.errors import InvalidArgument, NotFound
from services.chassis.jobs import Job
from services.chassis.wire.names import shown
from services.registry.domain.draft import Draft, Numbered


class DatasetFormat(StrEnum):
    """What a row of a file is; unspecified, it is told by the first one."""

    UNSPECIFIED = "UNSPECIFIED"
    ROWS = "ROWS"
    MESSAGES = "MESSAGES"
    CONVERSATIONS = "CONVERSATIONS"
    PREFERENCES = "PREFERENCES"


class DatasetFileForm(StrEnum):
    """What a dataset is written as."""

    ROWS = "ROWS"
    MESSAGES = "MESSAGES"
    PARQUET = "PARQUET"


@dataclass(frozen=True)
class DatasetSource:
    """How a file becomes rows.

    Attributes:
        validation_share: Share of rows that name no split, by whole prompts, that are for validation.
        profile_id: Protocol of rows that hold a case and name none.
        skips_wrong_rows: What cannot become a row is left out.
    """

    format: DatasetFormat = DatasetFormat.UNSPECIFIED
    validation_share: float = 0.0
    profile_id: str = ""
    skips_wrong_rows: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether a file of rows is registered as it is."""
        is_rows = self.format in (DatasetFormat.UNSPECIFIED, DatasetFormat.ROWS)
        return is_rows and not (self.validation_share or self.profile_id or self.skips_wrong_rows)

    def origin(self, artifact: Artifact) -> str:
        """Return what is converted and how, to tell whether another call asks for the same."""
        settings = f"{self.validation_share:g} {self.profile_id or '-'} {'skip' if self.skips_wrong_rows else 'all'}"
        return f"{self.format.lower()} {settings} {artifact.digest}"


@dataclass(frozen=True)
class RowFileReading:
    """What came of reading a file: rows by split, how many are wrong, and what is wrong with the first of those."""

    num_train: int
    num_validation: int
    num_faults: int
    faults: tuple[tuple[int, str], ...]

    def check(self, *, skips_wrong_rows: bool) -> None:
        """Raise InvalidArgument unless there is a row, and none is wrong where none may be."""
        if self.faults and not skips_wrong_rows:
            number, problem = self.faults[0]
            more = f" {self.num_faults - 1} more are wrong as well." if self.num_faults > 1 else ""
            raise InvalidArgument(
                f"{problem}{more}",
                "Correct it, or leave out what is wrong (skips_wrong_rows); nothing of the file was kept.",
                field="artifact",
                line=str(number),
            )
        if not self.num_train + self.num_validation:
            raise InvalidArgument("No row of the file can be used.", "Validate it to see why.", field="artifact")


@dataclass(frozen=True, kw_only=True)
class DatasetVersionDraft(Draft):
    """A dataset version before it has a number."""

    asked: ClassVar[tuple[str, ...]] = ("dataset_id", "origin", "produced_by")

    dataset_id: str
    num_train_examples: int
    num_validation_examples: int
    imported_from: str = ""

    @property
    def origin(self) -> str:
        """What was handed over: the rows, or the file that they were made of."""
        return self.imported_from or self.artifact.digest

    @property
    def owner_id(self) -> str:
        """The dataset."""
        return self.dataset_id


@dataclass(frozen=True, kw_only=True)
class DatasetVersion(DatasetVersionDraft, Numbered):
    """One immutable JSONL file of examples."""

    @classmethod
    def of(cls, draft: DatasetVersionDraft, version: int, create_time: datetime) -> DatasetVersion:
        """Return the version that `draft` becomes."""
        taken = {field.name: getattr(draft, field.name) for field in fields(DatasetVersionDraft)}
        return cls(**taken, version=version, create_time=create_time)


def dataset_version_not_found(text: str) -> NotFound:
    """Return the error for a dataset version that isn't there."""
    return NotFound(f"There is no dataset version {shown(text)}.", "See what there is with `drillyard datasets list`.")


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
