"""What the registry needs from outside itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from services.chassis.artifacts import Artifact
from services.registry.domain.deployment import Deployment, DeploymentBackend, DeploymentStatus, ServedVersion
from services.registry.domain.export import ExportSource, ExportSpec
from services.registry.domain.model import ModelFacts, ModelVersion, ModelVersionKind
from services.registry.domain.model_import import FetchedModel, ImportSource, InspectedSource
from services.registry.domain.publication import Destination, Package, Publication

Progress = Callable[[int, int], Awaitable[None]]


@dataclass(frozen=True)
class FetchPlace:
    """Where a source puts what it fetches.

    Attributes:
        folder: The import's own, kept over restarts of its job; not there before the first file.
        progress: Told the bytes that have come, and all.
        check_space: Raises ResourceExhausted when the disk has no room for so many bytes that are fetched, and so many
            that are made of them; to be called before the first byte.
        shared: A folder by which imports find what others of them fetch.
        check_new: Raises `KnownSource` for a URI, pinned to what is there, that was imported before.
    """

    folder: Path
    progress: Progress
    check_space: Callable[[int, int], None]
    shared: Path
    check_new: Callable[[str], Awaitable[None]]


class ModelSource(Protocol):
    """Places of one kind from which models come."""

    def check(self, source: ImportSource) -> None:
        """Return when a caller's words can name something; nothing is asked over the network.

        Raises:
            InvalidArgument: They can't.
            PermissionDenied: The place may not be asked, or may not see the secret.
            FailedPrecondition: The secret is not there.
        """

    async def fetch(self, source: ImportSource, place: FetchPlace) -> FetchedModel:
        """Return where the model's files lie, once all that came from elsewhere is whole and has its digest.

        A call that was killed is made again with the same place, and goes on from what lies there.

        Raises:
            InvalidArgument: There is nothing of that name, or no model in a form that can be imported.
            NotFound, PermissionDenied, FailedPrecondition, ResourceExhausted, Unavailable: As `Downloader.fetch`.
        """


class Importer(Protocol):
    """Reads models of one form."""

    async def inspect(self, path: Path) -> InspectedSource:
        """Check the source.

        Raises:
            InvalidArgument: It is damaged, hostile or of a kind that can't be imported.
            ResourceExhausted: Its check needed more than it may.
        """

    async def identify(self, source: InspectedSource, progress: Progress) -> Artifact:
        """Return URI, digest and size of the source."""

    async def write(self, source: InspectedSource, out: Path, progress: Progress) -> None:
        """Write the model to the new folder `out` in Hugging Face form.

        Raises:
            InvalidArgument: It can't be converted.
            ResourceExhausted: Its conversion needed more than it may.
            FailedPrecondition: It changed since it was inspected.
        """


class ModelFiles(Protocol):
    """Reads what model files say about themselves, in a limited process."""

    async def facts_of(self, folder: Path, kind: ModelVersionKind) -> ModelFacts:
        """Check a folder of safetensors and return what it says.

        Raises:
            InvalidArgument: It isn't a model of that kind, or isn't safe to load.
        """


class FormWriter(Protocol):
    """Writes versions in one form."""

    def check(self, spec: ExportSpec, whole: ModelVersion) -> None:
        """Return unless it is known before any byte is read that the form cannot be written.

        Args:
            spec: What is to be exported.
            whole: The version with the full weights.

        Raises:
            InvalidArgument: The architecture has no such form, for one; the forms that can be had are named.
        """

    async def write(self, source: ExportSource, out: Path, progress: Progress) -> Sequence[str]:
        """Write the form to the new folder `out`; return what a person should know of it, a sentence each.

        Raises:
            InvalidArgument: It can't be written from these weights.
            ResourceExhausted: It needed more than it may.
        """


class Publisher(Protocol):
    """Brings versions to places of one kind. Nothing is visible under a name before it is whole."""

    def check(self, destination: Destination) -> None:
        """Return when a caller's words can name a place; nothing is asked over the network.

        Raises:
            InvalidArgument: They can't.
            PermissionDenied: The place may not be asked, or may not see the secret.
            FailedPrecondition: The secret is not there.
        """

    async def publish(self, package: Package, progress: Progress) -> str:
        """Bring the version there and return where it is; a repeat changes nothing.

        Raises:
            AlreadyExists: The name is that of something else, which is not to be replaced.
            PermissionDenied: The place does not let this caller write.
            FailedPrecondition: The place refuses it.
            Unavailable: The place does not answer.
        """

    async def clean_up(self, publication: Publication) -> None:
        """Remove what a process that was killed has prepared."""


class Deployer(Protocol):
    """Serves versions in one way."""

    async def serve(self, deployment: Deployment, served: ServedVersion) -> DeploymentStatus:
        """Bring it about that a deployment answers, and say how it stands; it is called again and again.

        Raises:
            FailedPrecondition: It cannot be served like this.
            Unavailable: What serves it does not answer now.
        """

    async def remove(self, deployment: Deployment) -> bool:
        """Take a deployment down, and say whether nothing of it is left; safe to repeat."""

    async def close(self) -> None:
        """Let go of all that ends with this process."""


Deployers: TypeAlias = Mapping[DeploymentBackend, Deployer]
