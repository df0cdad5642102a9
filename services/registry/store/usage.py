"""How much the versions take that the registry keeps."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import ColumnElement, func, select

from services.chassis.database import Database
from services.registry.store.tables import MODEL_VERSIONS, TEST_SUITE_VERSIONS, VERSION_TABLES


async def kept_bytes(database: Database) -> Counter[str]:
    """Return the bytes of each workspace's versions, and of what they were made of, but of the built-in suites.

    Bytes that several versions have count for each.
    """
    kept: Counter[str] = Counter()
    async with database.reading() as session:
        for table in VERSION_TABLES:
            c = table.c
            size: ColumnElement[int] = func.sum(c.artifact_size_bytes)
            if table is MODEL_VERSIONS:
                size = size + func.coalesce(func.sum(c.source_size_bytes), 0)
            query = select(c.workspace_id, size).group_by(c.workspace_id)
            if table is TEST_SUITE_VERSIONS:
                query = query.where(~c.built_in)
            kept.update({workspace_id: int(total) for workspace_id, total in await session.execute(query)})
    return kept
