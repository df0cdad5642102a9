"""A registry with memory stores whose form writer and publisher can be held up, counted and broken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from services.chassis.artifacts import ArtifactStore
from services.chassis.errors import ServiceError
from services.chassis.jobs import Job, JobRunner, SqlJobStore, watch
from services.chassis.waiting import Places
from services.registry.__main__ import MIGRATIONS
from services.registry.domain.export import EXPORT_KIND, ExportForm, ExportSource, ExportSpec
from services.registry.domain.model import ModelFacts, ModelVersion, ModelVersionDraft, ModelVersionKind
from services.registry.domain.paging import PageRequest
from services.registry.domain.publication import (
    PUBLICATION_KIND,
    Destination,
    DestinationKind,
    Package,
    PublicationSpec,
)
from services.registry.importers.rows.conversion import RowFiles
from services.registry.importers.workspace import Workspace
from services.registry.jobs.dataset_folder import DatasetFolders
from services.registry.jobs.export import ExportJob
from services.registry.jobs.exporters.card import write_card
from services.registry.jobs.publication import PublicationJob
from services.registry.jobs.publishers.folder import FolderPublisher
from services.registry.ports import Progress
from services.registry.store.claims import SqlClaims
from services.registry.store.datasets import SqlDatasetStore
from services.registry.store.models import SqlModelStore
from services.registry.usecases.adoption import Adoption
from services.registry.usecases.dataset import DatasetUseCases
from services.registry.usecases.export import ExportUseCases
from services.registry.usecases.model import JobUses, ModelUseCases
from services.registry.usecases.publication import PublicationUseCases
from tests.fakes.databases import new_database
from tests.unit.registry.exports.served_folders import write_gguf
from tests.unit.registry.model_folders import write_adapter, write_model

SPEC = ExportSpec("", ExportForm.GGUF, "", "", "", 0, "")
PLACE = Destination(None, None, None, None, None, "", "", False)


class Gate:
    """Work that can be held up and broken."""

    def __init__(self) -> None:
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.entered = asyncio.Event()
        self.error: ServiceError | None = None
        self.num_passed = 0

    async def passed(self) -> None:
        self.entered.set()
        await self.is_open.wait()
        if self.error is not None:
            raise self.error
        self.num_passed += 1


class FactsOfNumbers:
    """Says the same of every folder, without a process that reads it."""

    async def facts_of(self, folder: Path, kind: ModelVersionKind) -> ModelFacts:
        licence = "cc-by-nc-nd-4.0" if kind is ModelVersionKind.BASE else ""
        return ModelFacts("llama", 8 if kind is ModelVersionKind.GGUF else 128, 512, licence)


class GgufOfZeros:
    """Writes the same small GGUF of every version."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def check(self, spec: ExportSpec, whole: ModelVersion) -> None:
        """Accept everything."""

    async def write(self, source: ExportSource, out: Path, progress: Progress) -> Sequence[str]:
        assert (source.folder / "adapter_config.json").exists() == (source.base_folder is not None)
        write_gguf(out / "model.gguf")
        write_card(source, out)
        await progress(1, 2)
        await self._gate.passed()
        return (f"{source.version.version_id} was written as {source.spec.number_type}.",)


class HeldFolder(FolderPublisher):
    """Publishes into folders once its gate is open; what it has copied by then is there under another name."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._gate = gate

    async def publish(self, package: Package, progress: Progress) -> str:
        async def held(done: int, total: int) -> None:
            await progress(done, total)
            await self._gate.passed()

        return await super().publish(package, held)


@dataclass
class ShippingRegistry:
    """One process of a registry with a base `tiny@1` and an adapter `tuned@1` on it."""

    root: Path
    jobs: SqlJobStore
    runner: JobRunner
    models: SqlModelStore
    use_cases: ModelUseCases
    exports: ExportUseCases
    publications: PublicationUseCases
    datasets: DatasetUseCases
    workspace: Workspace
    writing: Gate
    sending: Gate

    async def export(self, version_id: str, **changes: object) -> Job:
        """Export and return the job once it has ended."""
        created = await self.exports.create("", replace(SPEC, model_version_id=version_id, **changes))  # type: ignore[arg-type]
        return await self.ended(created.job.job_id)

    async def publish(self, version_id: str, folder: Path, **more: Any) -> Job:
        """Publish to a folder and return the job once it has ended."""
        spec = PublicationSpec(version_id, replace(PLACE, folder_path=str(folder)), **more)
        return await self.ended((await self.publications.create("", spec)).job.job_id)

    async def ended(self, job_id: str) -> Job:
        """Return the job once it has ended."""
        async for _ in watch(self.jobs, job_id):
            pass
        return await self.jobs.get(job_id)

    async def made(self) -> list[ModelVersion]:
        """Return the versions that exports made, newest first."""
        versions = (await self.models.list_versions("", PageRequest(1000))).items
        return [version for version in versions if version.produced_by.startswith("export:")]

    def leftovers(self) -> list[str]:
        """Return what lies where nothing may stay."""
        staged = [*(self.root / "exports").iterdir(), *(self.root / "artifacts" / "staging").glob("*")]
        return [place.name for place in staged]

    def kept(self) -> int:
        """Return how many folders the artifact store holds."""
        return len(list((self.root / "artifacts").glob("trees/*/*")))


@asynccontextmanager
async def shipping_registry(root: Path) -> AsyncIterator[ShippingRegistry]:
    """Lend a registry whose runner works."""
    database, writing, sending = new_database(MIGRATIONS), Gate(), Gate()
    models, jobs = SqlModelStore(database), SqlJobStore(database)
    artifacts = ArtifactStore((root / "artifacts").as_uri(), sources=((root / "other").as_uri(),))
    adoption, workspace = Adoption(artifacts, SqlClaims(database)), Workspace(root / "exports", "export")
    writers = {ExportForm.GGUF: GgufOfZeros(writing)}
    publishers = {DestinationKind.FOLDER_PATH: HeldFolder(sending)}
    files = FactsOfNumbers()
    export_job = ExportJob(writers, models, artifacts, adoption, files, workspace, lambda profile_id: profile_id)
    datasets = DatasetUseCases(
        SqlDatasetStore(database),
        artifacts,
        adoption=adoption,
        files=Places("files", num_running=1, num_waiting=1),
        row_files=RowFiles(workspace),
    )
    publication_job = PublicationJob(publishers, models, artifacts, DatasetFolders(datasets, workspace), workspace)
    runner = JobRunner(jobs, owner="test", is_only_owner=True)
    runner.register(EXPORT_KIND, export_job.run)
    runner.register(PUBLICATION_KIND, publication_job.run, cleanup=publication_job.clean_up)
    users = (JobUses(jobs, (EXPORT_KIND, PUBLICATION_KIND)),)
    use_cases = ModelUseCases(models, artifacts, adoption=adoption, files=files, users=users)
    await _add_versions(root, use_cases)
    await runner.start()
    exports = ExportUseCases(jobs, models, writers, lambda profile_id: None)
    publications = PublicationUseCases(jobs, models, datasets, publishers)
    yield ShippingRegistry(
        root,
        jobs,
        runner,
        models,
        use_cases,
        exports,
        publications,
        datasets,
        workspace,
        writing=writing,
        sending=sending,
    )
    await runner.stop(5.0)


async def _add_versions(root: Path, models: ModelUseCases) -> None:
    other = ArtifactStore((root / "other" / "trainer").as_uri())
    kinds = (
        (ModelVersionKind.BASE, "tiny", "", write_model),
        (ModelVersionKind.ADAPTER, "tuned", "tiny@1", write_adapter),
    )
    for kind, model_id, base, write in kinds:
        artifact = await other.put_tree(write(root / model_id))
        await models.create_version(
            ModelVersionDraft(
                request_id=model_id,
                model_id=model_id,
                kind=kind,
                base_model_version_id=base,
                artifact=artifact,
                source=None,
                produced_by="",
                facts=ModelFacts("", 0, 0),
            )
        )
