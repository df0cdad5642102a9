"""Use cases of datasets."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from services.chassis.artifacts import Artifact, ArtifactStore
from services.chassis.waiting import Places
from services.chassis.wire.names import check_dataset_id
from services.protocols.suites.dataset_row import SPLITS, DatasetRow, RowError
from services.registry.domain.dataset import (
    DatasetFileForm,
    DatasetFormat,
    DatasetSource,
    DatasetVersion,
    DatasetVersionDraft,
    RowFileReading,
)
from services.registry.domain.identifiers import check_produced_by, check_request_id
from services.registry.domain.jsonl import Line, LineError, check_size, read_unique, scan_lines
from services.registry.domain.paging import Page, PageRequest
from services.registry.importers.rows.conversion import ReadReport, RowFiles
from services.registry.ports.stores import DatasetStore
from services.registry.usecases.adoption import Adoption
from services.registry.usecases.row_index import RowIndex, row_index
from services.registry.usecases.versions import VersionUseCases

MAX_DATASET_BYTES = 2 * 1024**3
_ROWS_TOLD = 5000
AS_IT_IS = DatasetSource()


@dataclass(frozen=True)
class RegisteredDataset:
    """A version, and how many rows of its file were left out."""

    version: DatasetVersion
    num_skipped: int = 0


class DatasetUseCases(VersionUseCases[DatasetVersion]):
    """Registers, reads and writes datasets."""

    _id_field = "dataset_version_id"

    def __init__(
        self, store: DatasetStore, artifacts: ArtifactStore, *, adoption: Adoption, files: Places, row_files: RowFiles
    ) -> None:
        super().__init__(store, adoption)
        self._store = store
        self._row_files = row_files
        self._files = files
        self._artifacts = artifacts

    async def create_version(
        self, draft: DatasetVersionDraft, source: DatasetSource = AS_IT_IS, report: ReadReport | None = None
    ) -> RegisteredDataset:
        """Adopt the draft's bytes, or rows made of them, check every row and register the version.

        `report` is told how far it is; of a file that is converted last before its rows are registered.

        Raises:
            InvalidArgument: A field or a row is wrong; the first bad line is named.
            AlreadyExists: The request_id was used with other words.
            Busy: As many files as are allowed are being checked.
            FailedPrecondition: The bytes aren't there or differ from what is claimed.
        """
        check_dataset_id(draft.dataset_id)
        check_request_id(draft.request_id)
        check_produced_by(draft.produced_by)
        check_size(draft.artifact.size_bytes, MAX_DATASET_BYTES)
        known = await self._store.find_request(draft.request_id)
        if known is not None:
            is_plain = source.is_plain and not known.imported_from
            (draft if is_plain else replace(draft, imported_from=source.origin(draft.artifact))).check_same(known)
            return RegisteredDataset(known)
        async with self._files.place(), self._adoption.adopted(draft.artifact) as artifact:
            path = await self._artifacts.local_path(artifact.uri)
            if not await asyncio.to_thread(self._is_plain, path, source):
                return await self._converted(draft, path, source, report)
            counts = await asyncio.to_thread(_count_splits, path, _teller(report))
            return RegisteredDataset(
                await self._store.add_version(
                    replace(
                        draft,
                        artifact=artifact,
                        num_train_examples=counts["train"],
                        num_validation_examples=counts["validation"],
                    )
                )
            )

    def _is_plain(self, path: Path, source: DatasetSource) -> bool:
        if not source.is_plain or not self._row_files.is_lines(path):
            return False
        with path.open("rb") as stream:
            first = next((line for _, line in scan_lines(stream)), None)
        # What is wrong with a first line is told where all lines are read.
        is_row = not isinstance(first, Line) or "example_id" in first.document
        return is_row or source.format is DatasetFormat.ROWS

    async def _converted(
        self, draft: DatasetVersionDraft, path: Path, source: DatasetSource, report: ReadReport | None
    ) -> RegisteredDataset:
        with self._row_files.place() as out:
            reading = await self._row_files.read(path, source, out, report)
            reading.check(skips_wrong_rows=source.skips_wrong_rows)
            async with self._adoption.written(out) as artifact:
                version = await self._store.add_version(
                    replace(
                        draft,
                        artifact=artifact,
                        num_train_examples=reading.num_train,
                        num_validation_examples=reading.num_validation,
                        imported_from=source.origin(draft.artifact),
                    )
                )
        return RegisteredDataset(version, reading.num_faults)

    async def validate(self, artifact: Artifact, source: DatasetSource) -> RowFileReading:
        """Return what would come of registering a file; nothing of it is kept.

        Raises:
            Busy: As many files as are allowed are being checked.
        """
        check_size(artifact.size_bytes, MAX_DATASET_BYTES)
        async with self._files.place(), self._adoption.adopted(artifact) as adopted:
            path = await self._artifacts.local_path(adopted.uri)
            with self._row_files.place() as out:
                return await self._row_files.read(path, source, out)

    @asynccontextmanager
    async def written(self, text: str, form: DatasetFileForm) -> AsyncIterator[Path]:
        """Lend a file that holds a version in a form.

        Raises:
            NotFound: There is no such version.
            Busy: As many files as are allowed are being read.
        """
        version = await self.get_version(text)
        path = await self._artifacts.local_path(version.artifact.uri)
        if form is DatasetFileForm.ROWS:
            yield path
            return
        with self._row_files.place() as out:
            async with self._files.place():
                await self._row_files.write(path, form, out)
            yield out

    async def index(self, version: DatasetVersion) -> RowIndex:
        """Return what a version is made of, and where its rows are."""
        return await asyncio.to_thread(row_index, await self._artifacts.local_path(version.artifact.uri))

    async def write_split(self, version: DatasetVersion, split: str, form: DatasetFileForm, out: Path) -> None:
        """Write the rows of one split to a file.

        Raises:
            Busy: As many files as are allowed are being read.
        """
        async with self._files.place():
            await self._row_files.write(await self._artifacts.local_path(version.artifact.uri), form, out, split)

    async def list_versions(self, dataset_id: str, page: PageRequest) -> Page[DatasetVersion]:
        """Return versions, newest first, of one dataset or (empty id) of all.

        Raises:
            NotFound: The named dataset isn't there.
        """
        if dataset_id:
            await self.get_version(dataset_id)
        return await self._store.list_versions(dataset_id, page)


def row_of(line: Line) -> DatasetRow:
    """Return the row in a line.

    Raises:
        LineError: A field is missing or wrong; it is named.
    """
    try:
        row = DatasetRow.from_json(line.document, line.number)
        row.check()
    except RowError as error:
        raise LineError(str(error)) from error
    return row


def _teller(report: ReadReport | None) -> Callable[[int], None]:
    """Return what a thread calls with the number of rows that it has read."""
    loop = asyncio.get_running_loop()

    def tell(num_rows: int) -> None:
        if report:
            asyncio.run_coroutine_threadsafe(report(num_rows, 0), loop)

    return tell


def _count_splits(path: Path, tell: Callable[[int], None]) -> Counter[str]:
    counts = Counter(dict.fromkeys(SPLITS, 0))
    with path.open("rb") as stream:
        for num_rows, row in enumerate(read_unique(stream, row_of, lambda row: row.example_id), 1):
            counts[row.split] += 1
            if num_rows % _ROWS_TOLD == 0:
                tell(num_rows)
    return counts
