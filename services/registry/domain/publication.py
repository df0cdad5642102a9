"""Publications: jobs that bring a version to where others take it from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from services.chassis.errors import InvalidArgument
from services.chassis.jobs import Job
from services.chassis.wire.documents import from_document
from services.registry.domain.dataset import DatasetFileForm
from services.registry.domain.model import ModelVersion, ModelVersionKind

PUBLICATION_KIND = "publication"
_OLLAMA = (ModelVersionKind.OLLAMA,)
_NOT_OLLAMA = tuple(kind for kind in ModelVersionKind if kind is not ModelVersionKind.OLLAMA)


class PublicationPhase(StrEnum):
    """What a publication does now."""

    VERIFY = "verify"
    SEND = "send"
    WRITE = "write"


class DestinationKind(StrEnum):
    """Where a version goes; each is the name of a field of `Destination`."""

    FOLDER_PATH = "folder_path"
    OLLAMA_NAME = "ollama_name"
    OLLAMA_REGISTRY = "ollama_registry"
    HUB_ID = "hub_id"
    OCI_REFERENCE = "oci_reference"

    @property
    def version_kinds(self) -> tuple[ModelVersionKind, ...]:
        """The kinds of versions that such a place takes."""
        if self in (DestinationKind.OLLAMA_NAME, DestinationKind.OLLAMA_REGISTRY):
            return _OLLAMA
        return _NOT_OLLAMA if self is DestinationKind.HUB_ID else tuple(ModelVersionKind)


@dataclass(frozen=True)
class Destination:
    """One place; exactly one of the first five is set."""

    folder_path: str | None
    ollama_name: str | None
    ollama_registry: str | None
    hub_id: str | None
    oci_reference: str | None
    address: str
    secret: str
    replace: bool

    @property
    def kind(self) -> DestinationKind:
        """Which of the places it is.

        Raises:
            InvalidArgument: None is set.
        """
        return self._place()[0]

    @property
    def value(self) -> str:
        """The text that names the place."""
        return self._place()[1]

    def _place(self) -> tuple[DestinationKind, str]:
        places = {
            DestinationKind.FOLDER_PATH: self.folder_path,
            DestinationKind.OLLAMA_NAME: self.ollama_name,
            DestinationKind.OLLAMA_REGISTRY: self.ollama_registry,
            DestinationKind.HUB_ID: self.hub_id,
            DestinationKind.OCI_REFERENCE: self.oci_reference,
        }
        for kind, value in places.items():
            if value:
                return kind, value
        raise InvalidArgument("destination names no place.", f"Set one of {', '.join(places)}.", field="destination")


@dataclass(frozen=True)
class PublicationSpec:
    """What is published where: a version of a model or, where it has an id, of a dataset."""

    MESSAGE: ClassVar[str] = "drillyard.registry.v1.publication_pb2.PublicationSpec"

    model_version_id: str
    destination: Destination
    dataset_version_id: str = ""
    dataset_form: DatasetFileForm = DatasetFileForm.PARQUET
    card: str = ""


@dataclass(frozen=True)
class Publication:
    """A publication and the job that does it."""

    spec: PublicationSpec
    job: Job

    @property
    def location(self) -> str:
        """Where the version is now; empty until it is there."""
        return str((self.job.result or {}).get("location", ""))


@dataclass(frozen=True)
class Package:
    """What a publisher sends.

    Attributes:
        publication_id: Names what it prepares, so that a repeat finds and removes it.
        version_id: The version.
        size_bytes: All that is sent.
        folder: The version's verified files.
        is_dataset: A hub keeps datasets apart.
    """

    publication_id: str
    version_id: str
    size_bytes: int
    folder: Path
    destination: Destination
    is_dataset: bool = False


def publication_of(job: Job) -> Publication:
    """Return the publication that `job` does."""
    return Publication(from_document(PublicationSpec, job.spec), job)


def check_takes_datasets(destination: Destination) -> None:
    """Raise InvalidArgument unless the place takes datasets."""
    if destination.kind not in (DestinationKind.FOLDER_PATH, DestinationKind.HUB_ID):
        raise InvalidArgument(
            "A dataset goes to a folder or to a hub.", "Set folder_path or hub_id.", field="destination"
        )


def check_kind(version: ModelVersion, destination: Destination) -> None:
    """Raise InvalidArgument unless the place takes versions of this kind."""
    if version.kind in destination.kind.version_kinds:
        return
    if version.kind is ModelVersionKind.OLLAMA:
        problem, next_step = "a hub takes no Ollama store", "Publish the GGUF, the merged weights or the adapter there."
    else:
        problem = "Ollama takes its own form alone"
        next_step = f"Export it first: `drillyard models export {version.version_id} --as ollama`."
    raise InvalidArgument(
        f"{version.version_id} is of kind {version.kind.value}, and {problem}.", next_step, field="destination"
    )
