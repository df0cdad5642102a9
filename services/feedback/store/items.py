"""Feedback items in the service's database, SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Table, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.chassis.database import Database, item_of, row_of
from services.chassis.database.lease import durable
from services.chassis.errors import Aborted
from services.feedback.domain.agreement import Agreement
from services.feedback.domain.item import Content, Item, ItemFilter, Rating, RatingScale, Subject, digest_of
from services.feedback.store import item_queries as queries
from services.feedback.store.tables import CASES, CONTENTS, ITEMS, USES

_CONTENT = TypeAdapter(Content)
_BATCH = 500


@durable
class SqlItemStore:
    """Keeps items beside the service's jobs; an item changes only by being withdrawn."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, item: Item) -> Item:
        """Store an item and withdraw the one that it replaces, or return the one that is stored under its id.

        Raises:
            Aborted: Another item has taken the place of the one that it replaces.
        """
        async with self._database.session() as session:
            await _insert(session, [item], refuses_withdrawn=True)
            return (await _load(session, ITEMS.c.feedback_item_id == item.feedback_item_id))[0]

    async def add_all(self, items: Sequence[Item]) -> int:
        """Store all items or none; return how many were not there before."""
        async with self._database.session() as session:
            return await _insert(session, items)

    async def known(self, feedback_item_ids: Collection[str]) -> set[str]:
        """Return which of these items are stored; some hundred are looked up at once."""
        async with self._database.reading() as session:
            ids = select(ITEMS.c.feedback_item_id).where(ITEMS.c.feedback_item_id.in_(feedback_item_ids))
            return set((await session.execute(ids)).scalars())

    async def get(self, feedback_item_id: str) -> Item | None:
        """Return an item, or None."""
        async with self._database.reading() as session:
            return next(iter(await _load(session, ITEMS.c.feedback_item_id == feedback_item_id)), None)

    async def list(self, item_filter: ItemFilter, before: int, limit: int) -> tuple[Item, ...]:
        """Return up to `limit` wanted items below the ordinal `before`, newest first."""
        async with self._database.reading() as session:
            return tuple(await _load(session, queries.matching(item_filter), ITEMS.c.ordinal < before, limit=limit))

    async def list_forward(self, item_filter: ItemFilter, after: int, limit: int) -> tuple[Item, ...]:
        """Return up to `limit` wanted items above the ordinal `after`, oldest first."""
        places = select(ITEMS.c.ordinal).where(queries.matching(item_filter), ITEMS.c.ordinal > after)
        places = places.order_by(ITEMS.c.ordinal).limit(limit)
        async with self._database.reading() as session:
            return tuple(reversed(await _load(session, ITEMS.c.ordinal.in_(places), limit=limit)))

    async def count(self, item_filter: ItemFilter) -> int:
        """Return the number of wanted items."""
        query = select(func.count()).select_from(ITEMS).where(queries.matching(item_filter))
        async with self._database.reading() as session:
            return (await session.execute(query)).scalar_one()

    async def withdraw(self, feedback_item_id: str, reason: str) -> Item | None:
        """Withdraw an item unless it is already, and return it; None when there is none."""
        async with self._database.session() as session:
            await _withdraw(session, feedback_item_id, datetime.now(UTC), reason)
            return next(iter(await _load(session, ITEMS.c.feedback_item_id == feedback_item_id)), None)

    async def agreement(self, item_filter: ItemFilter) -> Agreement:
        """Return how often the newest opinion of each author on an answer is the judge's."""
        async with self._database.reading() as session:
            return await queries.agreement(session, item_filter)

    async def mark_used(self, feedback_item_ids: Sequence[str], dataset_version_id: str) -> None:
        """Note that a dataset version has rows of items."""
        rows = [{"feedback_item_id": each, "dataset_version_id": dataset_version_id} for each in feedback_item_ids]
        async with self._database.session() as session:
            for start in range(0, len(rows), _BATCH):
                await _insert_absent(session, USES, rows[start : start + _BATCH])


async def _insert(session: AsyncSession, items: Sequence[Item], *, refuses_withdrawn: bool = False) -> int:
    """Store the items that are not there yet, withdraw those that they replace, and return how many are new.

    Of a file, an item may have been replaced before, here or where it was exported.
    """
    by_id: dict[str, Item] = {}
    for item in items:
        by_id.setdefault(item.feedback_item_id, item)
    # Another process may store the same item meanwhile, so it is the database that says which are new.
    statement = _unless_there(session, ITEMS).returning(ITEMS.c.feedback_item_id)
    stored_ids = set((await session.execute(statement, [_row(item) for item in by_id.values()])).scalars())
    new = [item for item in by_id.values() if item.feedback_item_id in stored_ids]
    if not new:
        return 0
    cases = {digest_of(item.case_document): item.case_document for item in new if item.case_document}
    rows = [{"case_digest": digest, "document": document} for digest, document in cases.items()]
    await _insert_absent(session, CASES, rows)
    contents = [{"feedback_item_id": item.feedback_item_id, "document": _document(item.content)} for item in new]
    await session.execute(insert(CONTENTS), contents)
    for item in new:
        if item.replaces_feedback_item_id:
            is_first = await _withdraw(session, item.replaces_feedback_item_id, item.create_time, "replaced")
            if refuses_withdrawn and not is_first:
                raise Aborted(
                    f"The item {item.replaces_feedback_item_id} was withdrawn meanwhile.",
                    "Look at what took its place, then replace that, or send this one by itself.",
                )
    return len(new)


async def _insert_absent(session: AsyncSession, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        await session.execute(_unless_there(session, table), list(rows))


def _unless_there(session: AsyncSession, table: Table) -> Any:
    dialect = import_module(f"sqlalchemy.dialects.{session.get_bind().dialect.name}")
    return dialect.insert(table).on_conflict_do_nothing()


async def _withdraw(session: AsyncSession, feedback_item_id: str, time: datetime, reason: str) -> bool:
    """Withdraw an item unless it is already; say whether it was not."""
    c = ITEMS.c
    of_this = (c.feedback_item_id == feedback_item_id, c.withdraw_time.is_(None))
    statement = update(ITEMS).where(*of_this).values(withdraw_time=time, withdraw_reason=reason)
    return bool((await session.execute(statement.returning(c.ordinal))).scalars().all())


async def _load(session: AsyncSession, *conditions: Any, limit: int = 1) -> list[Item]:
    rows = (await session.execute(queries.items(*conditions).limit(limit))).mappings().all()
    ids = [row["feedback_item_id"] for row in rows]
    uses: dict[str, list[str]] = {}
    for use in await session.execute(select(USES).where(USES.c.feedback_item_id.in_(ids))):
        uses.setdefault(use.feedback_item_id, []).append(use.dataset_version_id)
    return [replace(_item(row), dataset_version_ids=tuple(uses.get(row["feedback_item_id"], ()))) for row in rows]


def _row(item: Item) -> dict[str, Any]:
    verdict, (pair_key, pair_side) = item.content.verdict, item.pair
    row = row_of(
        item,
        ITEMS,
        **row_of(item.subject, ITEMS),
        rating_value=item.rating.value if item.rating else None,
        rating_scale=item.rating.scale.value if item.rating else None,
        opinion=item.opinion.value,
        is_judged_good=verdict.conforming if verdict else None,
        disagrees=item.disagrees,
        pair_key=pair_key,
        pair_side=pair_side,
        case_digest=digest_of(item.case_document) if item.case_document else "",
    )
    # The database counts.
    del row["ordinal"]
    return row


def _document(content: Content) -> dict[str, Any]:
    return {name: value for name, value in asdict(content).items() if value not in (None, "", (), {})}


def _item(row: Mapping[Any, Any]) -> Item:
    rating = None
    if row["rating_value"] is not None:
        rating = Rating(row["rating_value"], RatingScale(row["rating_scale"]))
    return item_of(
        Item,
        row,
        subject=item_of(Subject, row),
        content=_CONTENT.validate_python(row["document"]),
        rating=rating,
        case_document=row["case_document"] or "",
        is_contradicted=bool(row["is_contradicted"]),
        dataset_version_ids=(),
    )
