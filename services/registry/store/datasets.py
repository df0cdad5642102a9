"""Dataset versions in the registry's database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import RowMapping

from services.chassis.database import Database
from services.registry.domain.dataset import DatasetVersion, DatasetVersionDraft
from services.registry.domain.identifiers import VersionRef
from services.registry.domain.paging import Page, PageRequest
from services.registry.store.tables import DATASET_VERSIONS
from services.registry.store.versions import VersionTable, shared_fields


class SqlDatasetStore:
    """Dataset versions in SQLite or PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._versions = VersionTable(database, DATASET_VERSIONS, columns_of=_columns, read=_version)
        self.find_request = self._versions.find_request
        self.holds = self._versions.holds

    async def add_version(self, draft: DatasetVersionDraft) -> DatasetVersion:
        """Give the draft the next number of its dataset, or return what its request_id was registered as."""
        async with self._database.session() as session:
            version, _ = await self._versions.add(session, draft)
        return version

    async def get_version(self, ref: VersionRef) -> DatasetVersion | None:
        """Return the version, or None."""
        return await self._versions.get(ref)

    async def list_versions(self, dataset_id: str, page: PageRequest) -> Page[DatasetVersion]:
        """Return versions of one dataset, or of all when `dataset_id` is empty."""
        return await self._versions.page(dataset_id, page)


def _columns(draft: DatasetVersionDraft) -> dict[str, Any]:
    return {
        "num_train_examples": draft.num_train_examples,
        "num_validation_examples": draft.num_validation_examples,
    }


def _version(row: RowMapping) -> DatasetVersion:
    return DatasetVersion(
        **shared_fields(row),
        dataset_id=row["owner_id"],
        num_train_examples=row["num_train_examples"],
        num_validation_examples=row["num_validation_examples"],
    )
