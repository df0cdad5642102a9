"""Numbered, immutable versions in one table: what models, datasets and suites have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import RowMapping, Select, Table, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.chassis.artifacts import Artifact
from services.chassis.database import Database
from services.chassis.errors import AlreadyExists
from services.registry.domain.draft import Draft, Numbered
from services.registry.domain.identifiers import VersionRef, version_id
from services.registry.domain.paging import Page, PageRequest, number_of

DraftT = TypeVar("DraftT", bound=Draft)
VersionT = TypeVar("VersionT", bound=Numbered)


class VersionTable(Generic[DraftT, VersionT]):
    """Adds versions under the next number of their owner, and reads them.

    Args:
        database: The service's database.
        table: One made by `tables._version_table`.
        columns_of: The noun's own columns of a draft.
        read: Makes a version of a row.
    """

    def __init__(
        self,
        database: Database,
        table: Table,
        *,
        columns_of: Callable[[DraftT], Mapping[str, Any]],
        read: Callable[[RowMapping], VersionT],
    ) -> None:
        self._database = database
        self._table = table
        self._columns_of = columns_of
        self._read = read

    async def add(self, session: AsyncSession, draft: DraftT, number: int | None = None) -> tuple[VersionT, bool]:
        """Return the draft's version and whether it is new, or what its request_id was registered as.

        Raises:
            AlreadyExists: The request_id was used with other words, or `number` is taken.
        """
        if not self._database.is_sqlite:
            # Two callers that count to the same next number would collide; readers are not held up.
            await session.execute(text(f"LOCK TABLE {self._table.name} IN SHARE ROW EXCLUSIVE MODE"))
        known = await self._requested(session, draft.request_id)
        if known is not None:
            draft.check_same(known)
            return known, False
        version = number or await self._next(session, draft.owner_id)
        if await self._one(session, self._table.c.version_id == version_id(draft.owner_id, version)) is not None:
            raise AlreadyExists(f"{version_id(draft.owner_id, version)} is registered.", "Use the next number.")
        values = {**_shared_columns(draft, version), **self._columns_of(draft)}
        row = (await session.execute(insert(self._table).values(values).returning(self._table))).mappings().one()
        return self._read(row), True

    async def find_request(self, request_id: str) -> VersionT | None:
        """Return what was registered by this request_id, or None."""
        async with self._database.reading() as session:
            return await self._requested(session, request_id)

    async def get(self, ref: VersionRef) -> VersionT | None:
        """Return the version, the newest when the reference has no number, or None."""
        async with self._database.reading() as session:
            if ref.version is not None:
                return await self._one(session, self._table.c.version_id == version_id(ref.owner_id, ref.version))
            found = select(self._table).where(self._table.c.owner_id == ref.owner_id)
            return await self._first(session, found.order_by(self._table.c.version.desc()))

    async def page(self, owner_id: str, page: PageRequest, *conditions: Any) -> Page[VersionT]:
        """Return versions of one owner, or of all when `owner_id` is empty, newest first."""
        before = number_of(page.token)
        found = select(self._table).where(*conditions)
        if owner_id:
            found = found.where(self._table.c.owner_id == owner_id)
        if before is not None:
            found = found.where(self._table.c.ordinal < before)
        found = found.order_by(self._table.c.ordinal.desc()).limit(page.size + 1)
        async with self._database.reading() as session:
            rows = (await session.execute(found)).mappings().all()
        shown = rows[: page.size]
        token = str(shown[-1]["ordinal"]) if len(rows) > page.size else ""
        return Page(tuple(self._read(row) for row in shown), token)

    async def holds(self, digest: str) -> bool:
        """Say whether a version's bytes have this digest."""
        async with self._database.reading() as session:
            return await self._one(session, self._table.c.artifact_digest == digest) is not None

    async def newest(self, *conditions: Any) -> VersionT | None:
        """Return the version that was registered last of those that fulfil the conditions, or None."""
        async with self._database.reading() as session:
            found = select(self._table).where(*conditions).order_by(self._table.c.ordinal.desc())
            return await self._first(session, found)

    async def _requested(self, session: AsyncSession, request_id: str) -> VersionT | None:
        return await self._one(session, self._table.c.request_id == request_id) if request_id else None

    async def _next(self, session: AsyncSession, owner_id: str) -> int:
        newest = select(func.max(self._table.c.version)).where(self._table.c.owner_id == owner_id)
        return ((await session.execute(newest)).scalar() or 0) + 1

    async def _one(self, session: AsyncSession, condition: Any) -> VersionT | None:
        return await self._first(session, select(self._table).where(condition))

    async def _first(self, session: AsyncSession, found: Select[Any]) -> VersionT | None:
        row = (await session.execute(found.limit(1))).mappings().one_or_none()
        return None if row is None else self._read(row)


def shared_fields(row: RowMapping) -> dict[str, Any]:
    """Return the fields of a version that every noun has."""
    return {
        "request_id": row["request_id"] or "",
        "artifact": Artifact(row["artifact_uri"], row["artifact_digest"], row["artifact_size_bytes"]),
        "produced_by": row["produced_by"],
        "version": row["version"],
        "create_time": utc(row["create_time"]),
    }


def utc(time: datetime) -> datetime:
    """Return a time as it was stored: SQLite keeps UTC but forgets that it is."""
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _shared_columns(draft: Draft, version: int) -> dict[str, Any]:
    return {
        "version_id": version_id(draft.owner_id, version),
        "owner_id": draft.owner_id,
        "version": version,
        "request_id": draft.request_id or None,
        "artifact_uri": draft.artifact.uri,
        "artifact_digest": draft.artifact.digest,
        "artifact_size_bytes": draft.artifact.size_bytes,
        "produced_by": draft.produced_by,
        "create_time": datetime.now(UTC),
    }
