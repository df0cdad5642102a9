"""The job that brings a version to a place. A repeat goes on from what the place holds already."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from services.chassis.artifacts import ArtifactStore
from services.chassis.jobs import JobContext, Json
from services.chassis.machine.files import link_or_copy, write_atomically
from services.chassis.waiting import patiently
from services.lm.conversion.card import tested_card
from services.registry.domain.publication import (
    DestinationKind,
    Package,
    PublicationPhase,
    PublicationSpec,
    publication_of,
)
from services.registry.importers.workspace import Workspace
from services.registry.jobs.dataset_folder import DatasetFolders
from services.registry.jobs.exporters.card import CARD
from services.registry.jobs.phases import phase_told
from services.registry.ports import Publisher
from services.registry.ports.stores import ModelStore

_STORE = "the artifact store"


@dataclass(frozen=True)
class PublicationJob:
    """Does publications. Nothing is visible under the name before it is whole."""

    publishers: Mapping[DestinationKind, Publisher]
    models: ModelStore
    artifacts: ArtifactStore
    datasets: DatasetFolders
    workspace: Workspace

    async def run(self, context: JobContext) -> Json:
        """Publish and return where the version is.

        Raises:
            NotFound: The version was deleted.
            AlreadyExists: The place has something else of that name, which is not to be replaced.
            FailedPrecondition: The stored bytes are damaged, or the place refuses them.
            PermissionDenied: The place does not let this caller write.
        """
        spec = publication_of(context.job).spec
        lent = self._dataset_package if spec.dataset_version_id else self._model_package
        async with lent(context, spec) as package, phase_told(context, PublicationPhase.SEND, "Sending.") as progress:
            return {"location": await self.publishers[spec.destination.kind].publish(package, progress)}

    @asynccontextmanager
    async def _model_package(self, context: JobContext, spec: PublicationSpec) -> AsyncIterator[Package]:
        version = await self.models.named(spec.model_version_id)
        async with phase_told(context, PublicationPhase.VERIFY, "Verifying what is stored."):
            folder = await patiently(lambda: self.artifacts.local_path(version.artifact.uri), _STORE)
        size_bytes = version.artifact.size_bytes
        with self.workspace.folder(context.job.job_id) as place:
            if spec.card:
                folder = await asyncio.to_thread(_with_card, folder, place / "form", spec.card)
            yield Package(context.job.job_id, version.version_id, size_bytes, folder, spec.destination)

    @asynccontextmanager
    async def _dataset_package(self, context: JobContext, spec: PublicationSpec) -> AsyncIterator[Package]:
        with self.workspace.folder(context.job.job_id) as folder:
            async with phase_told(context, PublicationPhase.WRITE, "Writing the files."):
                size_bytes = await self.datasets.write(spec.dataset_version_id, spec.dataset_form, folder)
            version_id = spec.dataset_version_id
            yield Package(context.job.job_id, version_id, size_bytes, folder, spec.destination, is_dataset=True)

    async def clean_up(self, context: JobContext) -> Json:
        """Remove what a publication that was cancelled or given up has prepared."""
        publication = publication_of(context.job)
        await self.publishers[publication.spec.destination.kind].clean_up(publication)
        return {}


def _with_card(folder: Path, place: Path, paragraphs: str) -> Path:
    """Return a folder with the same files, whose card tells more; `folder` itself where there is no card."""
    if not (folder / CARD).is_file():
        return folder
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / CARD:
            target = place / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(path, target)
    write_atomically(place / CARD, tested_card((folder / CARD).read_text("utf-8"), paragraphs))
    return place
