"""Dataset versions in the registry's database."""

from __future__ import annotations

from services.registry.domain.dataset import DatasetVersion, DatasetVersionDraft, dataset_version_not_found
from services.registry.domain.paging import Page, PageRequest
from services.registry.store.tables import DATASET_VERSIONS
from services.registry.store.versions import SqlVersionStore


class SqlDatasetStore(SqlVersionStore[DatasetVersionDraft, DatasetVersion]):
    """Dataset versions in SQLite or PostgreSQL."""

    _table = DATASET_VERSIONS
    _version_class = DatasetVersion
    _owner_field = "dataset_id"
    _not_found = staticmethod(dataset_version_not_found)

    async def add_version(self, draft: DatasetVersionDraft) -> DatasetVersion:
        """Give the draft the next number of its dataset, or return what its request_id was registered as.

        Raises:
            AlreadyExists: The request_id was used with other words.
        """
        async with self._database.session() as session:
            return (await self._add(session, draft))[0]

    async def list_versions(self, dataset_id: str, page: PageRequest) -> Page[DatasetVersion]:
        """Return versions of one dataset, or of all when `dataset_id` is empty."""
        return await self._page(dataset_id, page)
