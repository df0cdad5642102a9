"""Persons' answers to decisions of loops, in the service's database, SQLite or PostgreSQL."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.chassis.database import Database, insert_if_absent
from services.chassis.database.lease import durable
from services.chassis.wire import from_document, to_document
from services.feedback.decisions.decision import DecisionChange
from services.feedback.store.tables import LOOP_ANSWERS


@durable
class LoopAnswers:
    """What persons said to decisions, until the loop is deleted: the first answer to a decision counts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def give(self, loop_id: str, number: int, change: DecisionChange) -> DecisionChange:
        """Store the answer to a decision unless there is one, and return the one that counts."""
        row = {"loop_id": loop_id, "number": number, "document": to_document(change)}
        async with self._database.session() as session:
            await insert_if_absent(session, LOOP_ANSWERS, row)
            return await _read(session, loop_id, number) or change

    async def find(self, loop_id: str, number: int) -> DecisionChange | None:
        """Return the answer to a decision, or None."""
        async with self._database.reading() as session:
            return await _read(session, loop_id, number)

    async def forget(self, loop_id: str) -> None:
        """Remove the answers to a loop's decisions."""
        async with self._database.session() as session:
            await session.execute(delete(LOOP_ANSWERS).where(LOOP_ANSWERS.c.loop_id == loop_id))


async def _read(session: AsyncSession, loop_id: str, number: int) -> DecisionChange | None:
    query = select(LOOP_ANSWERS.c.document).where(LOOP_ANSWERS.c.loop_id == loop_id, LOOP_ANSWERS.c.number == number)
    document = (await session.execute(query)).scalar_one_or_none()
    return None if document is None else from_document(DecisionChange, document)
