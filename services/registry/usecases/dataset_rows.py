"""Use cases of the rows of datasets: read them, count what they are made of, and change them."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from services.chassis.artifacts import ArtifactStore
from services.chassis.errors import InvalidArgument, TooLarge
from services.chassis.wire.paging import place_of, token_of, wrong_token
from services.protocols.suites.dataset_row import DatasetRow
from services.registry.domain.dataset import DatasetVersion, DatasetVersionDraft
from services.registry.domain.identifiers import check_numbered, check_request_id
from services.registry.domain.jsonl import LineError, scan_lines, told_fault
from services.registry.domain.paging import Page, PageRequest
from services.registry.ports.stores import DatasetStore
from services.registry.usecases.adoption import Adoption
from services.registry.usecases.dataset import DatasetUseCases, row_of
from services.registry.usecases.row_index import DatasetPart, StoredRow, row_index, rows_from

_MAX_REVISED_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True)
class DatasetMix:
    """What a version is made of, and how many of its rows hold a rejected answer."""

    version: DatasetVersion
    parts: tuple[DatasetPart, ...]
    num_pairs: int


class DatasetRowUseCases:
    """Reads, counts and changes rows."""

    def __init__(
        self,
        datasets: DatasetUseCases,
        store: DatasetStore,
        artifacts: ArtifactStore,
        *,
        adoption: Adoption,
    ) -> None:
        self._datasets = datasets
        self._store = store
        self._artifacts = artifacts
        self._adoption = adoption

    async def list_rows(self, text: str, filters: Mapping[str, str], page: PageRequest) -> Page[StoredRow]:
        """Return the rows that have the wanted names, in the order of the file; an empty name lets all through.

        Raises:
            NotFound: The version isn't there.
        """
        path = await self._path(await self._datasets.get_version(text))
        names = {name: each for name, each in filters.items() if each}
        return await asyncio.to_thread(_page, path, names, page)

    async def mix(self, text: str) -> DatasetMix:
        """Return what a version is made of.

        Raises:
            NotFound: It isn't there.
        """
        version = await self._datasets.get_version(text)
        index = await self._datasets.index(version)
        return DatasetMix(version, index.parts, index.num_pairs)

    async def revise(
        self, request_id: str, text: str, *, dropped: Sequence[str], edited: Sequence[str]
    ) -> DatasetVersion:
        """Register a version that is another one without some rows, and with others in the place of theirs.

        Raises:
            AlreadyExists: The request_id was used for another change.
            InvalidArgument: Nothing is changed, an id isn't there, or an edited row is none.
            NotFound: The version isn't there.
            TooLarge: It is too large to be changed here.
        """
        check_request_id(request_id)
        check_numbered(text, "dataset_version_id")
        version = await self._datasets.get_version(text)
        if version.artifact.size_bytes > _MAX_REVISED_BYTES:
            raise TooLarge(f"{text} is too large to be changed row by row.", "Export it, change the file, register it.")
        revision = _Revision(frozenset(dropped), {row.example_id: document for row, document in map(_edit, edited)})
        content = await asyncio.to_thread(revision.applied, await self._path(version))
        async with self._adoption.written(content) as artifact:
            draft = DatasetVersionDraft(
                request_id=request_id,
                dataset_id=version.dataset_id,
                artifact=artifact,
                produced_by=f"revision:{version.version_id}",
                num_train_examples=revision.counts["train"],
                num_validation_examples=revision.counts["validation"],
            )
            return await self._store.add_version(draft)

    async def _path(self, version: DatasetVersion) -> Path:
        return await self._artifacts.local_path(version.artifact.uri)


class _Revision:
    def __init__(self, dropped: frozenset[str], edited: Mapping[str, str]) -> None:
        self.counts: Counter[str] = Counter()
        self._dropped, self._edited = dropped, edited
        if not dropped and not edited:
            raise InvalidArgument("Nothing is changed.", "Name rows to drop, or send edited ones.")

    def applied(self, path: Path) -> bytes:
        """Return the file with the changes in it."""
        content, left = bytearray(), {*self._dropped, *self._edited}
        with path.open("rb") as file:
            for stored in rows_from(file):
                name = stored.row.example_id
                left.discard(name)
                if name not in self._dropped:
                    document = self._edited.get(name, stored.document)
                    self.counts[json.loads(document).get("split", "train")] += 1
                    content += document.encode() + b"\n"
        if left:
            name = min(left)
            raise InvalidArgument(f"The version has no row {name[:100]!r}.", "List its rows to see their ids.")
        if not content:
            raise InvalidArgument("Every row is dropped.", "Leave at least one.")
        return bytes(content)


def _edit(document: str) -> tuple[DatasetRow, str]:
    # Only between values may JSON have line ends.
    content = BytesIO(document.replace("\r", " ").replace("\n", " ").encode())
    line = next((line for _, line in scan_lines(content)), LineError("is empty"))
    try:
        if isinstance(line, LineError):
            raise line
        return row_of(line), line.text
    except LineError as error:
        raise InvalidArgument(
            f"An edited row {told_fault(str(error))}.", "Correct the row.", field="edited_documents"
        ) from error


def _page(path: Path, names: Mapping[str, str], page: PageRequest) -> Page[StoredRow]:
    offset, line = place_of(page.token, (0, 0))
    rows: list[StoredRow] = []
    with path.open("rb") as file:
        _seek_line(file, offset)
        # A rare name would be looked for through the whole file, page after page.
        wanted = row_index(path).rows(file, names, line) if names else rows_from(file, offset, line)
        for stored in wanted:
            if len(rows) == page.size:
                return Page(tuple(rows), token_of((rows[-1].end, rows[-1].line)))
            rows.append(stored)
    return Page(tuple(rows))


def _seek_line(file: BinaryIO, offset: int) -> None:
    """Go to where a page token says that a line begins.

    Raises:
        InvalidArgument: None begins there.
    """
    if not 0 <= offset <= os.fstat(file.fileno()).st_size:
        raise wrong_token()
    file.seek(max(0, offset - 1))
    if offset and file.read(1) != b"\n":
        raise wrong_token()
