"""Use cases of datasets."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path

from services.chassis.waiting import Places
from services.protocols.suites.dataset_row import SPLITS, DatasetRow, RowError
from services.registry.domain.dataset import DatasetVersion, DatasetVersionDraft, dataset_version_not_found
from services.registry.domain.identifiers import (
    check_dataset_id,
    check_numbered,
    check_produced_by,
    check_request_id,
    version_ref,
)
from services.registry.domain.jsonl import Line, LineError, check_size, read_unique
from services.registry.domain.paging import Page, PageRequest
from services.registry.ports import Artifacts, DatasetStore
from services.registry.usecases.adoption import Adoption

MAX_DATASET_BYTES = 2 * 1024**3


class DatasetUseCases:
    """Registers and reads datasets."""

    def __init__(self, store: DatasetStore, artifacts: Artifacts, *, adoption: Adoption, files: Places) -> None:
        self._store = store
        self._files = files
        self._artifacts = artifacts
        self._adoption = adoption

    async def create_version(self, draft: DatasetVersionDraft) -> DatasetVersion:
        """Adopt the draft's bytes, check every row and register the version; the counts are taken from the rows.

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
            draft.check_same(known)
            return known
        async with self._files.place(), self._adoption.adopted(draft.artifact) as artifact:
            path = await self._artifacts.local_path(artifact.uri)
            counts = await asyncio.to_thread(_count_splits, path)
            return await self._store.add_version(
                replace(
                    draft,
                    artifact=artifact,
                    num_train_examples=counts["train"],
                    num_validation_examples=counts["validation"],
                )
            )

    async def delete_version(self, text: str) -> None:
        """Remove the version that "<id>@<version>" names, with its bytes unless another one has the same.

        Raises:
            InvalidArgument: No number is named.
            NotFound: There is none.
        """
        check_numbered(text, "dataset_version_id")
        version = await self.get_version(text)
        async with self._adoption.released(version.artifact):
            await self._store.delete_version(version)

    async def get_version(self, text: str) -> DatasetVersion:
        """Return the version that "<id>@<version>" or "<id>" names.

        Raises:
            NotFound: There is none.
        """
        found = await self._store.get_version(version_ref(text))
        if found is None:
            raise dataset_version_not_found(text)
        return found

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


def _count_splits(path: Path) -> Counter[str]:
    counts = Counter(dict.fromkeys(SPLITS, 0))
    with path.open("rb") as stream:
        counts.update(row.split for row in read_unique(stream, row_of, lambda row: row.example_id))
    return counts
