"""Claims on bytes that no version holds yet, by which all replicas of the registry agree on what may be deleted."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, insert, select, union_all, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.chassis.artifacts.artifact import parse_uri
from services.chassis.database import Database
from services.chassis.database.lease import boot_seconds
from services.registry.store.tables import CLAIMS, VERSION_TABLES

# Longer than any adoption takes; what a killed replica claimed is free after it.
_CLAIM_TIME = timedelta(hours=24)
# What is not deleted by then is left to whoever claims the bytes next. A holder that was frozen begins nothing so late.
_DELETE_TIME = timedelta(minutes=5)
_LAST_BEGIN_SECONDS = _DELETE_TIME.total_seconds() / 2
_PAUSE_SECONDS = 0.2


class SqlClaims:
    """Claims in SQLite or PostgreSQL. All that concerns one digest happens in turn, over all replicas."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, uri: str) -> str:
        """Protect the bytes that the registry keeps at `uri`, there already or soon, and return the claim's id.

        Bytes that are being deleted are waited for.
        """
        # The place itself says what is there; a caller's word for it could be wrong, and end what others hold.
        digest = parse_uri(uri)[1].digest
        row = {
            "claim_id": uuid.uuid4().hex,
            "artifact_digest": digest,
            "artifact_uri": uri,
            "expire_time": datetime.now(UTC) + _CLAIM_TIME,
        }
        while True:
            async with self._database.session() as session:
                await self._wait_for_turn(session, digest)
                if not await self._is_being_deleted(session, digest):
                    await session.execute(insert(CLAIMS).values(row))
                    return str(row["claim_id"])
            await asyncio.sleep(_PAUSE_SECONDS)

    async def end(self, claim_id: str, delete_bytes: Callable[[str], Awaitable[None]]) -> None:
        """End a claim; bytes that neither a version nor another claim holds are deleted before anyone claims them."""
        of_claim = CLAIMS.c.claim_id == claim_id
        since = boot_seconds()
        async with self._database.session() as session:
            claim = (await session.execute(select(CLAIMS).where(of_claim))).mappings().one_or_none()
            if claim is None:
                return
            await self._wait_for_turn(session, claim["artifact_digest"])
            is_held = await self._is_held(session, claim["artifact_digest"], claim_id)
            deletion = {"is_deleting": True, "expire_time": datetime.now(UTC) + _DELETE_TIME}
            await session.execute(
                delete(CLAIMS).where(of_claim) if is_held else update(CLAIMS).where(of_claim).values(deletion)
            )
        # Outside of the transaction: the database ends one in which nothing happens, as when this process is frozen.
        if not is_held and boot_seconds() - since < _LAST_BEGIN_SECONDS:
            await delete_bytes(claim["artifact_uri"])
            async with self._database.session() as session:
                await session.execute(delete(CLAIMS).where(of_claim))

    async def abandoned(self) -> list[str]:
        """Return the claims whose holders have died: on SQLite, whose one process asks at its start, that is all."""
        if not self._database.is_sqlite:
            return await self.expired()
        async with self._database.reading() as session:
            return list((await session.execute(select(CLAIMS.c.claim_id))).scalars())

    async def expired(self) -> list[str]:
        """Return the claims that are older than any adoption; at any time."""
        query = select(CLAIMS.c.claim_id).where(CLAIMS.c.expire_time < datetime.now(UTC))
        async with self._database.reading() as session:
            return list((await session.execute(query)).scalars())

    async def _wait_for_turn(self, session: AsyncSession, digest: str) -> None:
        # SQLite has one writer at a time anyway.
        if not self._database.is_sqlite:
            await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(digest, 0))))

    async def _is_held(self, session: AsyncSession, digest: str, claim_id: str) -> bool:
        """Whether a version or another claim than `claim_id` holds the bytes."""
        versions = (select(table.c.artifact_digest) for table in VERSION_TABLES)
        claims = select(CLAIMS.c.artifact_digest).where(CLAIMS.c.claim_id != claim_id)
        digests = union_all(*versions, claims).subquery().c.artifact_digest
        return (await session.execute(select(digests).where(digests == digest).limit(1))).first() is not None

    async def _is_being_deleted(self, session: AsyncSession, digest: str) -> bool:
        c = CLAIMS.c
        deletion = select(c.claim_id).where(c.artifact_digest == digest, c.is_deleting)
        return (await session.execute(deletion.where(c.expire_time > datetime.now(UTC)).limit(1))).first() is not None
