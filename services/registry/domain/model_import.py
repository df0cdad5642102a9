"""Imports: jobs that bring a model from outside into the registry."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from services.chassis.errors import Unimplemented
from services.chassis.jobs import Job

IMPORT_KIND = "import"
# The field of what the job saves in which its notes stand.
NOTES = "notes"


class ImportPhase(StrEnum):
    """What an import does now."""

    CHECK = "check"
    HASH = "hash"
    VERIFY = "verify"
    CONVERT = "convert"
    STORE = "store"


class SourceKind(StrEnum):
    """Where a model comes from."""

    GGUF_PATH = "gguf_path"
    FOLDER_PATH = "folder_path"
    HUB_ID = "hub_id"
    OLLAMA_TAG = "ollama_tag"


_NOT_BUILT = {
    SourceKind.HUB_ID: "Import from the Hugging Face hub is not built in this version.",
    SourceKind.OLLAMA_TAG: "Import from Ollama is not built in this version.",
}


@dataclass(frozen=True)
class ImportSource:
    """One place outside the registry."""

    kind: SourceKind
    value: str


@dataclass(frozen=True)
class Import:
    """An import and the job that does it."""

    model_id: str
    source: ImportSource
    job: Job

    @property
    def model_version_id(self) -> str:
        """The version that holds the model; empty until the job has succeeded."""
        return str((self.job.result or {}).get("model_version_id", ""))

    @property
    def base_model_version_id(self) -> str:
        """The weights that an adapter is loaded on; empty for full weights."""
        return str(self.job.spec.get("base_model_version_id", ""))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of the source: what is left aside, what is taken otherwise than it may seem."""
        return tuple(map(str, (self.job.saved or {}).get(NOTES, ())))


def import_spec(model_id: str, source: ImportSource) -> dict[str, Any]:
    """Return what is stored with the job."""
    return {"model_id": model_id, "source": {"kind": source.kind.value, "value": source.value}}


def import_of(job: Job) -> Import:
    """Return the import that `job` does."""
    source = job.spec["source"]
    return Import(job.spec["model_id"], ImportSource(SourceKind(source["kind"]), source["value"]), job)


def not_built(kind: SourceKind) -> Unimplemented:
    """Return the error for a source from which this version can't import."""
    return Unimplemented(_NOT_BUILT[kind], "Download the model and import it by gguf_path or folder_path.")


@dataclass(frozen=True)
class InspectedSource:
    """A source that was found sound.

    Attributes:
        path: Its real path.
        files: The files that are taken, in order.
        written_bytes: Upper bound of what its import writes.
        stamps: What tells whether a file changed since: device, inode, bytes, time of change in nanoseconds.
        notes: What a person should know of it, a sentence each.
    """

    path: Path
    files: tuple[Path, ...]
    written_bytes: int
    stamps: tuple[tuple[int, int, int, int], ...]
    notes: tuple[str, ...] = ()

    def name_of(self, file: Path) -> str:
        """Return where a file lies in the source, which may be files instead of a folder."""
        return file.name if self.path in self.files else file.relative_to(self.path).as_posix()

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(size for _, _, size, _ in self.stamps)
