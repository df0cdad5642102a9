"""The audit log in the accounts' database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, delete, insert, select, update

from services.chassis.database import Database, item_of, row_of
from ui.gateway.access.accounts import AuditEvent
from ui.gateway.access.store.tables import API_KEYS, AUDIT_EVENTS


class SqlAudit:
    """The audit log in SQLite or PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(self, events: Sequence[AuditEvent], uses: Mapping[str, datetime], oldest: datetime) -> None:
        """Append to the audit log, say when keys were last used, and forget events that are older than `oldest`."""
        rows = [row_of(event, AUDIT_EVENTS) for event in events]
        for row in rows:
            del row["sequence"]
        async with self._database.session() as session:
            if rows:
                await session.execute(insert(AUDIT_EVENTS), rows)
            for key_id, time in uses.items():
                await session.execute(update(API_KEYS).where(API_KEYS.c.key_id == key_id).values(last_use_time=time))
            await session.execute(delete(AUDIT_EVENTS).where(AUDIT_EVENTS.c.time < oldest))

    async def events(self, *, caller: str, before: int, limit: int) -> list[AuditEvent]:
        """Return events, newest first: those of one caller unless that is empty, before a place unless that is 0."""
        c = AUDIT_EVENTS.c
        conditions: Iterable[ColumnElement[bool]] = [
            *([c.caller == caller] if caller else []),
            *([c.sequence < before] if before else []),
        ]
        query = select(AUDIT_EVENTS).where(*conditions).order_by(c.sequence.desc()).limit(limit)
        async with self._database.reading() as session:
            return [item_of(AuditEvent, row) for row in (await session.execute(query)).mappings()]
