"""Claims on bytes that no version holds yet, by which all replicas of the registry agree on what may be deleted."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, insert, select, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from services.chassis.artifacts.artifact import parse_uri
from services.chassis.database import Database
from services.registry.store.tables import CLAIMS, VERSION_TABLES

# Longer than any adoption takes; what a killed replica claimed is free after it.
_CLAIM_TIME = timedelta(hours=24)


class SqlClaims:
    """Claims in SQLite or PostgreSQL. All that concerns one digest happens in turn, over all replicas."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, uri: str) -> str:
        """Protect the bytes that the registry keeps at `uri`, there already or soon, and return the claim's id."""
        # The place itself says what is there; a caller's word for it could be wrong, and end what others hold.
        digest = parse_uri(uri)[1].digest
        row = {
            "claim_id": uuid.uuid4().hex,
            "artifact_digest": digest,
            "artifact_uri": uri,
            "expire_time": datetime.now(UTC) + _CLAIM_TIME,
        }
        async with self._database.session() as session:
            await self._wait_for_turn(session, digest)
            await session.execute(insert(CLAIMS).values(row))
        return str(row["claim_id"])

    async def end(self, claim_id: str, delete_bytes: Callable[[str], Awaitable[None]]) -> None:
        """End a claim; bytes that neither a version nor another claim holds are deleted before anyone else's turn."""
        async with self._database.session() as session:
            of_claim = select(CLAIMS).where(CLAIMS.c.claim_id == claim_id)
            claim = (await session.execute(of_claim)).mappings().one_or_none()
            if claim is None:
                return
            digest = claim["artifact_digest"]
            await self._wait_for_turn(session, digest)
            await session.execute(delete(CLAIMS).where(CLAIMS.c.claim_id == claim_id))
            if not await self._is_held(session, digest):
                await delete_bytes(claim["artifact_uri"])

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

    async def _is_held(self, session: AsyncSession, digest: str) -> bool:
        holders = (select(table.c.artifact_digest) for table in (*VERSION_TABLES, CLAIMS))
        digests = union_all(*holders).subquery().c.artifact_digest
        return (await session.execute(select(digests).where(digests == digest).limit(1))).first() is not None
