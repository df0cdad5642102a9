"""Imports: jobs that bring a model from outside into the registry."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from services.chassis.artifacts import Artifact
from services.chassis.jobs import Job
from services.registry.domain.model import ModelVersion

IMPORT_KIND = "import"
# The field of what the job saves in which its notes stand.
NOTES = "notes"
# The field of what the job is asked, or of what it saves once it has found it.
BASE_VERSION = "base_model_version_id"


class ImportPhase(StrEnum):
    """What an import does now."""

    CHECK = "check"
    HASH = "hash"
    VERIFY = "verify"
    CONVERT = "convert"
    STORE = "store"
    FETCH = "fetch"


class SourceKind(StrEnum):
    """Where a model comes from."""

    GGUF_PATH = "gguf_path"
    FOLDER_PATH = "folder_path"
    HUB_ID = "hub_id"
    OLLAMA_TAG = "ollama_tag"
    URL = "url"
    ARTIFACT = "artifact"
    OCI_REFERENCE = "oci_reference"


class ModelForm(StrEnum):
    """What the files of a model are."""

    GGUF = "gguf"
    FOLDER = "folder"
    ADAPTER = "adapter"


@dataclass(frozen=True)
class ImportSource:
    """One place outside the registry.

    Attributes:
        kind: What kind of place.
        value: Its path, name or address; of an artifact its URI.
        secret: Name of the secret that holds a token for it; empty for none.
        artifact: What is at an artifact's URI; None for other kinds.
    """

    kind: SourceKind
    value: str
    secret: str = ""
    artifact: Artifact | None = None


@dataclass(frozen=True)
class FetchedModel:
    """A model whose files are on this machine.

    Attributes:
        path: A GGUF file, or a folder.
        uri: Where it came from, pinned to what it was then; empty for its path.
        notes: What a person should know of it, a sentence each.
        digest: Of all that came, where that is more than the model's own files; empty for theirs.
        side_files: What is kept beside the model's own files, each under its name.
        licence: As its source names it, where the files do not; empty for none.
    """

    path: Path
    uri: str = ""
    notes: tuple[str, ...] = ()
    digest: str = ""
    side_files: tuple[Path, ...] = ()
    licence: str = ""


class KnownSource(Exception):
    """What is at a URI was imported before.

    Attributes:
        version: The version that was made of it.
        origin: Where that came from.
    """

    def __init__(self, version: ModelVersion, origin: Artifact) -> None:
        super().__init__(version.version_id)
        self.version, self.origin = version, origin


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
        return str(self.job.spec.get(BASE_VERSION, ""))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of the source: what is left aside, what is taken otherwise than it may seem."""
        return tuple(map(str, (self.job.saved or {}).get(NOTES, ())))


def import_spec(model_id: str, source: ImportSource, base_model_version_id: str = "") -> dict[str, Any]:
    """Return what is stored with the job."""
    place: dict[str, Any] = {"kind": source.kind.value, "value": source.value}
    if source.secret:
        place["secret"] = source.secret
    if source.artifact:
        place["artifact"] = asdict(source.artifact)
    spec: dict[str, Any] = {"model_id": model_id, "source": place}
    return spec | ({BASE_VERSION: base_model_version_id} if base_model_version_id else {})


def import_of(job: Job) -> Import:
    """Return the import that `job` does."""
    place = job.spec["source"]
    artifact = Artifact(**place["artifact"]) if "artifact" in place else None
    source = ImportSource(SourceKind(place["kind"]), place["value"], place.get("secret", ""), artifact)
    return Import(job.spec["model_id"], source, job)


@dataclass(frozen=True)
class InspectedSource:
    """A source that was found sound.

    Attributes:
        path: Its real path.
        files: The files that are taken, in order.
        written_bytes: Upper bound of what its import writes.
        stamps: What tells whether a file changed since: device, inode, bytes, time of change in nanoseconds.
        notes: What a person should know of it, a sentence each.
        base: The model that an adapter says it was trained on; empty for full weights.
        base_digest: Of that model's stored folder, where the adapter was exported with it; empty for none.
        licence: As its card or its header names it; empty for none.
        side_files: What is kept beside the model's own files, each under its name.
    """

    path: Path
    files: tuple[Path, ...]
    written_bytes: int
    stamps: tuple[tuple[int, int, int, int], ...]
    notes: tuple[str, ...] = ()
    base: str = ""
    licence: str = ""
    side_files: tuple[Path, ...] = ()
    base_digest: str = ""

    def name_of(self, file: Path) -> str:
        """Return where a file lies in the source, which may be files instead of a folder."""
        return file.name if self.path in self.files else file.relative_to(self.path).as_posix()

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(size for _, _, size, _ in self.stamps)
