"""Answers of chats in the service's database: those that callers have stored, and those of recorded sessions."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Select, case, delete, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.chassis.database import Database, insert_if_absent
from services.chassis.database.lease import durable
from services.feedback.domain.item_spec import Chat, ChatSession, RecordedAnswer
from services.feedback.store.tables import CHATS

_CHAT = TypeAdapter(Chat)
_COLUMNS = ("is_kept", "session_id")


@dataclass(frozen=True)
class Retention:
    """How long answers are kept that no person has asked to keep, and those of sessions in which size altogether.

    Attributes:
        days: of sessions.
        megabytes: of sessions.
        stored_days: of answers that their callers have stored.
    """

    days: int = 30
    megabytes: int = 512
    stored_days: int = 30


@durable
class SqlChatStore:
    """Keeps answers; of sessions that no person keeps, the oldest go first."""

    def __init__(self, database: Database, retention: Retention = Retention()) -> None:
        self._database = database
        self._retention = retention

    async def keep_chat(self, chat_completion_id: str, chat: Chat) -> None:
        """Keep an answer; one of a session belongs to it as it is now."""
        document = {name: value for name, value in asdict(chat).items() if name not in _COLUMNS}
        async with self._database.session() as session:
            row = {
                "chat_completion_id": chat_completion_id,
                "create_time": datetime.now(UTC),
                "document": document,
                "session_id": chat.session_id,
                "size_bytes": len(json.dumps(document)),
                "is_kept": not chat.session_id or await _is_kept(session, chat.session_id),
            }
            await insert_if_absent(session, CHATS, row)
            await self._forget_old(session)

    async def get_chat(self, chat_completion_id: str) -> Chat | None:
        """Return an answer of a chat, or None."""
        query = select(CHATS).where(CHATS.c.chat_completion_id == chat_completion_id)
        async with self._database.reading() as session:
            row = (await session.execute(query)).mappings().one_or_none()
        return _chat(row) if row is not None else None

    async def list_sessions(self, after: str, limit: int) -> tuple[ChatSession, ...]:
        """Return up to `limit` sessions whose names come behind `after`, by name."""
        async with self._database.reading() as session:
            return await _sessions(session, CHATS.c.session_id > after, limit=limit)

    async def get_session(self, session_id: str) -> ChatSession | None:
        """Return a session, or None."""
        async with self._database.reading() as session:
            return next(iter(await _sessions(session, CHATS.c.session_id == session_id)), None)

    async def num_fitting(self, session_id: str, after: tuple[datetime, str] | None, limit: int, max_bytes: int) -> int:
        """Return how many of the next answers of a session, `limit` at most, have `max_bytes` together; one always."""
        async with self._database.reading() as session:
            rows = await session.execute(_answers(session_id, after, limit, CHATS.c.size_bytes))
            sizes = accumulate(rows.scalars())
            return max(1, sum(1 for size in sizes if size <= max_bytes))

    async def list_answers(
        self, session_id: str, after: tuple[datetime, str] | None, limit: int
    ) -> tuple[RecordedAnswer, ...]:
        """Return up to `limit` answers of a session in their order, all or those behind a time and an id."""
        async with self._database.reading() as session:
            rows = (await session.execute(_answers(session_id, after, limit, CHATS))).mappings().all()
        return tuple(RecordedAnswer(row["chat_completion_id"], row["create_time"], _chat(row)) for row in rows)

    async def keep_session(self, session_id: str) -> None:
        """Keep what is recorded of a session, and what will be."""
        async with self._database.session() as session:
            await session.execute(update(CHATS).where(CHATS.c.session_id == session_id).values(is_kept=True))

    async def forget_session(self, session_id: str) -> None:
        """Delete what is recorded of a session."""
        async with self._database.session() as session:
            await session.execute(delete(CHATS).where(CHATS.c.session_id == session_id))

    async def _forget_old(self, session: AsyncSession) -> None:
        c = CHATS.c
        # What a caller has stored goes by its age alone; what a person keeps of a session stays.
        now, retention = datetime.now(UTC), self._retention
        for is_passing, days in (
            (c.session_id == "", retention.stored_days),
            (c.is_kept == False, retention.days),  # noqa: E712
        ):
            await session.execute(delete(CHATS).where(is_passing, c.create_time < now - timedelta(days=days)))
        behind = func.sum(c.size_bytes).over(order_by=(c.create_time.desc(), c.chat_completion_id.desc()))
        sizes = select(c.chat_completion_id, behind.label("size")).where(c.is_kept == False).subquery()  # noqa: E712
        too_much = select(sizes.c.chat_completion_id).where(sizes.c.size > retention.megabytes * 1_000_000)
        await session.execute(delete(CHATS).where(c.chat_completion_id.in_(too_much)))


def _answers(session_id: str, after: tuple[datetime, str] | None, limit: int, columns: Any) -> Select[Any]:
    c = CHATS.c
    query = select(columns).where(c.session_id == session_id).order_by(c.create_time, c.chat_completion_id)
    if after is not None:
        query = query.where(tuple_(c.create_time, c.chat_completion_id) > tuple_(*after))
    return query.limit(limit)


async def _is_kept(session: AsyncSession, session_id: str) -> bool:
    query = select(CHATS.c.is_kept).where(CHATS.c.session_id == session_id, CHATS.c.is_kept).limit(1)
    return bool((await session.execute(query)).scalar_one_or_none())


async def _sessions(session: AsyncSession, *conditions: Any, limit: int = 1) -> tuple[ChatSession, ...]:
    c = CHATS.c
    query = (
        select(
            c.session_id,
            func.count().label("num_answers"),
            func.sum(c.size_bytes).label("size_bytes"),
            func.min(c.create_time).label("create_time"),
            func.max(c.create_time).label("update_time"),
            func.max(case((c.is_kept, 1), else_=0)).label("is_kept"),
        )
        .where(c.session_id != "", *conditions)
        .group_by(c.session_id)
        .order_by(c.session_id)
        .limit(limit)
    )
    rows = (await session.execute(query)).mappings().all()
    return tuple(
        ChatSession(**{**row, "size_bytes": int(row["size_bytes"]), "is_kept": bool(row["is_kept"])}) for row in rows
    )


def _chat(row: Any) -> Chat:
    return replace(_CHAT.validate_python(row["document"]), session_id=row["session_id"], is_kept=row["is_kept"])
