"""Numbered, immutable versions in one table: what models, datasets and suites have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, RowMapping, Select, Table, delete, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.chassis.artifacts import Artifact
from services.chassis.database import Database, item_of, row_of
from services.chassis.database.lease import durable
from services.chassis.errors import AlreadyExists, NotFound
from services.chassis.machine.caller import current_caller, current_workspace, refuse_beyond_quota
from services.chassis.wire.paging import LAST_PLACE, page_of, place_of
from services.registry.domain.draft import Draft, Numbered
from services.registry.domain.identifiers import VersionRef, version_id, version_ref
from services.registry.domain.paging import Page, PageRequest
from services.registry.store.tables import DELETED_VERSIONS, MODEL_VERSIONS, TEST_SUITE_VERSIONS, VERSION_TABLES

DraftT = TypeVar("DraftT", bound=Draft)
VersionT = TypeVar("VersionT", bound=Numbered)


@durable
class SqlVersionStore(Generic[DraftT, VersionT]):
    """Adds versions under the next number of their owner, and reads them; the base of each noun's store.

    `_more_columns` and `_more_fields` say what of a noun's row has another name or form than the field of its draft.
    """

    _table: Table
    _version_class: type[VersionT]
    _owner_field: str
    _not_found: Callable[[str], NotFound]

    def __init__(self, database: Database) -> None:
        self._database = database

    def _more_columns(self, _draft: DraftT) -> Mapping[str, Any]:
        return {}

    def _more_fields(self, _row: RowMapping) -> Mapping[str, Any]:
        return {}

    async def find_request(self, request_id: str) -> VersionT | None:
        """Return what was registered by this request_id, or None."""
        async with self._database.reading() as session:
            return await self._requested(session, request_id)

    async def named(self, text: str) -> VersionT:
        """Return the version that "<id>@<version>" or "<id>" names.

        Raises:
            NotFound: There is none.
        """
        version = await self.get_version(version_ref(text))
        if version is None:
            raise self._not_found(text)
        return version

    async def get_version(self, ref: VersionRef) -> VersionT | None:
        """Return the version, the newest when the reference has no number, or None."""
        c = self._table.c
        if ref.version is not None:
            return await self._newest(c.version_id == version_id(ref.owner_id, ref.version))
        return await self._newest(c.owner_id == ref.owner_id, order=c.version.desc())

    async def delete_version(self, version: VersionT) -> None:
        """Remove a version, whose number is never given again.

        Raises:
            FailedPrecondition: Another version is made of it.
        """
        c = self._table.c
        async with self._database.session() as session:
            await self._wait_for_turn(session)
            await self._let_go(session, version.version_id)
            gone = await session.execute(
                delete(self._table).where(c.version_id == version.version_id).returning(c.version)
            )
            for number in gone.scalars().all():
                row = {"table_name": self._table.name, "owner_id": version.owner_id, "version": number}
                await session.execute(insert(DELETED_VERSIONS).values(row))

    async def _let_go(self, _session: AsyncSession, _version_id: str) -> None:
        """Remove what a version has in other tables; raises FailedPrecondition when another one is made of it."""

    async def _wait_for_turn(self, session: AsyncSession) -> None:
        if not self._database.is_sqlite:
            # Two callers that count to the same next number would collide; readers are not held up.
            await session.execute(text(f"LOCK TABLE {self._table.name} IN SHARE ROW EXCLUSIVE MODE"))

    async def _add(self, session: AsyncSession, draft: DraftT, number: int | None = None) -> tuple[VersionT, bool]:
        """Return the draft's version and whether it is new, or what its request_id was registered as.

        Raises:
            AlreadyExists: The request_id was used with other words, or `number` is taken.
            QuotaExceeded: The version would be new, and a quota of the caller's workspace is used up.
        """
        await self._wait_for_turn(session)
        registered = await self._requested(session, draft.request_id)
        if registered is not None:
            draft.check_same(registered)
            return registered, False
        refuse_beyond_quota()
        version = number or await self._next(session, draft.owner_id)
        if await self._one(session, self._table.c.version_id == version_id(draft.owner_id, version)) is not None:
            raise AlreadyExists(f"{version_id(draft.owner_id, version)} is registered.", "Use the next number.")
        row = row_of(
            draft,
            self._table,
            version_id=version_id(draft.owner_id, version),
            owner_id=draft.owner_id,
            version=version,
            # Null when the caller gave none: such a call is never repeated.
            request_id=draft.request_id or None,
            artifact_uri=draft.artifact.uri,
            artifact_digest=draft.artifact.digest,
            artifact_size_bytes=draft.artifact.size_bytes,
            create_time=datetime.now(UTC),
            workspace_id=current_workspace.get(),
            caller=current_caller.get(),
            **self._more_columns(draft),
        )
        stored = await session.execute(insert(self._table).values(row).returning(self._table))
        return self._read(stored.mappings().one()), True

    async def _page(self, owner_id: str, page: PageRequest, *conditions: Any) -> Page[VersionT]:
        """Return versions of one owner, or of all when `owner_id` is empty, newest first."""
        c, before = self._table.c, place_of(page.token, LAST_PLACE)
        query = select(self._table).where(c.ordinal < before, *conditions).order_by(c.ordinal.desc())
        if owner_id:
            query = query.where(c.owner_id == owner_id)
        async with self._database.reading() as session:
            rows = (await session.execute(query.limit(page.size + 1))).mappings().all()
        shown, token = page_of(rows, page.size, lambda row: int(row["ordinal"]))
        return Page(tuple(self._read(row) for row in shown), token)

    async def _newest(self, *conditions: Any, order: Any = None) -> VersionT | None:
        """Return the version that was registered last of those that fulfil the conditions, or None."""
        order = self._table.c.ordinal.desc() if order is None else order
        async with self._database.reading() as session:
            return await self._first(session, select(self._table).where(*conditions).order_by(order))

    async def _requested(self, session: AsyncSession, request_id: str) -> VersionT | None:
        return await self._one(session, self._table.c.request_id == request_id) if request_id else None

    async def _next(self, session: AsyncSession, owner_id: str) -> int:
        known, gone = self._table.c, DELETED_VERSIONS.c
        newest = select(func.max(known.version)).where(known.owner_id == owner_id)
        deleted = select(func.max(gone.version)).where(gone.table_name == self._table.name, gone.owner_id == owner_id)
        return max([(await session.execute(query)).scalar() or 0 for query in (newest, deleted)]) + 1

    async def _one(self, session: AsyncSession, condition: Any) -> VersionT | None:
        return await self._first(session, select(self._table).where(condition))

    async def _first(self, session: AsyncSession, query: Select[Any]) -> VersionT | None:
        row = (await session.execute(query.limit(1))).mappings().one_or_none()
        return None if row is None else self._read(row)

    def _read(self, row: RowMapping) -> VersionT:
        return item_of(
            self._version_class,
            row,
            **{self._owner_field: row["owner_id"]},
            request_id=row["request_id"] or "",
            artifact=Artifact(row["artifact_uri"], row["artifact_digest"], row["artifact_size_bytes"]),
            **self._more_fields(row),
        )


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
