"""A registry's imports over memory stores, with a folder importer that can be held up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from services.chassis.artifacts import ArtifactStore
from services.chassis.errors import InvalidArgument
from services.chassis.jobs import Job, JobRunner, SqlJobStore, watch
from services.registry.domain.model import ModelVersion
from services.registry.domain.model_import import ImportSource, InspectedSource, SourceKind
from services.registry.domain.paging import PageRequest
from services.registry.importers import source_files
from services.registry.importers.folder import FolderImporter
from services.registry.importers.gguf import GgufImporter
from services.registry.ports import FetchPlace, Progress
from services.registry.store.models import SqlModelStore
from services.registry.usecases.model_import import ImportUseCases
from tests.unit.registry.model_folders import write_model


async def allow(_uri: str) -> None:
    """Take every source for a new one."""


def fetch_place(
    folder: Path, progress: Progress, check_space: Callable[[int, int], None] = lambda *_: None
) -> FetchPlace:
    return FetchPlace(folder, progress, check_space, folder.parent / "fetched-shared", allow)


class Gate(FolderImporter):
    """A folder importer whose writing can be held up, counted and broken."""

    def __init__(self) -> None:
        super().__init__(check_tokenizer=self.note)
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.entered = asyncio.Event()
        self.num_written = 0
        self.change: Path | None = None
        self.bases: list[Path] = []
        self.adapters: list[Path] = []
        self.misfits: Callable[[Path], bool] = lambda _: False

    async def fits(self, base: Path, adapter: Path) -> None:
        self.entered.set()
        await self.is_open.wait()
        self.adapters.append(adapter)
        if self.misfits(base):
            raise InvalidArgument("Tensors have no place.")
        self.bases.append(base)
        if not (adapter / "adapter_model.safetensors").is_file():
            raise InvalidArgument("It is no adapter.")

    async def note(self, folder: Path) -> tuple[str, ...]:
        return (f"The tokenizer of {folder.name} is sound.",)

    async def write(self, source: InspectedSource, out: Path, progress: Progress) -> None:
        self.entered.set()
        await self.is_open.wait()
        self.num_written += 1
        if self.change is not None:
            self.change.write_text("{}")
        await super().write(source, out, progress)


class Unconverted(GgufImporter):
    """Takes a GGUF file for a model that it does not convert, which would take seconds."""

    async def inspect(self, path: Path) -> InspectedSource:
        return source_files.inspected(path, (path,), path.stat().st_size)  # noqa: ASYNC240

    async def write(self, source: InspectedSource, out: Path, progress: Progress) -> None:
        write_model(out)


@dataclass
class Registry:
    root: Path
    jobs: SqlJobStore
    runner: JobRunner
    models: SqlModelStore
    importer: Gate
    imports: ImportUseCases
    artifacts: ArtifactStore

    async def run(self, model_id: str, path: Path, base: str = "") -> Job:
        return await self.run_from(ImportSource(SourceKind.FOLDER_PATH, str(path)), model_id, base)

    async def run_from(self, source: ImportSource, model_id: str = "tiny", base: str = "") -> Job:
        created = await self.imports.create("", model_id, source, base)
        async for _ in watch(self.jobs, created.job.job_id):
            pass
        return await self.jobs.get(created.job.job_id)

    def leftovers(self) -> list[str]:
        staged = [*(self.root / "imports").iterdir(), *(self.root / "artifacts" / "staging").glob("*")]
        return [place.name for place in staged]

    async def versions(self) -> list[ModelVersion]:
        return list((await self.models.list_versions("", PageRequest(1000))).items)

    def kept(self) -> list[str]:
        return [place.name for place in (self.root / "artifacts").glob("trees/*/*")]
