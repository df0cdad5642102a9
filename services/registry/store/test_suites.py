"""Suite versions and their cases in the registry's database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import RowMapping, Select, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.chassis.database import item_of, row_of
from services.chassis.wire.paging import place_of, token_of
from services.protocols.suites.suite import provenance_from_document
from services.registry.domain.paging import Page, PageRequest
from services.registry.domain.test_suite import (
    TestCase,
    TestSuiteVersion,
    TestSuiteVersionDraft,
    suite_version_not_found,
)
from services.registry.store.tables import TEST_CASES, TEST_SUITE_VERSIONS
from services.registry.store.versions import SqlVersionStore

_IMPORTED_FROM = "imported_from"


class SqlTestSuiteStore(SqlVersionStore[TestSuiteVersionDraft, TestSuiteVersion]):
    """Suite versions in SQLite or PostgreSQL; a suite and its cases are stored in one transaction."""

    _table = TEST_SUITE_VERSIONS
    _version_class = TestSuiteVersion
    _owner_field = "test_suite_id"
    _not_found = staticmethod(suite_version_not_found)

    async def add_version(
        self, draft: TestSuiteVersionDraft, cases: Sequence[TestCase], *, version: int | None = None
    ) -> TestSuiteVersion:
        """Store the suite under the next number, or under `version`.

        Raises:
            AlreadyExists: The request_id was used with other words, or `version` is taken.
        """
        async with self._database.session() as session:
            added, is_new = await self._add(session, draft, version)
            if is_new and cases:
                key = {"version_id": added.version_id}
                rows = [row_of(case, TEST_CASES, position=place, **key) for place, case in enumerate(cases, 1)]
                await session.execute(insert(TEST_CASES), rows)
        return added

    async def list_versions(
        self, test_suite_id: str, page: PageRequest, *, built_in_only: bool = False
    ) -> Page[TestSuiteVersion]:
        """Return versions of one suite, or of all when `test_suite_id` is empty."""
        conditions = [TEST_SUITE_VERSIONS.c.built_in.is_(True)] if built_in_only else []
        return await self._page(test_suite_id, page, *conditions)

    async def list_cases(self, version_id: str, page: PageRequest, *, max_bytes: int) -> Page[TestCase]:
        """Return cases in the suite's order; the page ends after the case with which it reaches `max_bytes`."""
        position = place_of(page.token, 0)
        cases: list[TestCase] = []
        num_bytes = 0
        async with self._database.reading() as session:
            rows = (await session.execute(_fitting(version_id, position, page.size + 1, max_bytes))).mappings().all()
        for row in rows:
            if len(cases) == page.size or num_bytes >= max_bytes:
                return Page(tuple(cases), token_of(position))
            cases.append(item_of(TestCase, row))
            num_bytes += len(row["document"].encode("utf-8"))
            position = row["position"]
        return Page(tuple(cases))

    async def _let_go(self, session: AsyncSession, version_id: str) -> None:
        await session.execute(delete(TEST_CASES).where(TEST_CASES.c.version_id == version_id))

    def _more_columns(self, draft: TestSuiteVersionDraft) -> dict[str, Any]:
        return {"origin": json.dumps({**draft.provenance.to_document(), _IMPORTED_FROM: draft.imported_from})}

    def _more_fields(self, row: RowMapping) -> dict[str, Any]:
        origin = json.loads(row["origin"])
        return {"provenance": provenance_from_document(origin), "imported_from": origin.get(_IMPORTED_FROM, "")}


def _fitting(version_id: str, position: int, num_rows: int, max_chars: int) -> Select[Any]:
    """Select the rows behind a position up to that with which they reach a number of characters, and the one after it.

    The database counts, since a page of the longest documents would not fit into memory at once.
    """
    query = select(TEST_CASES).where(TEST_CASES.c.version_id == version_id, TEST_CASES.c.position > position)
    page = query.order_by(TEST_CASES.c.position).limit(num_rows).subquery()
    before = func.sum(func.length(page.c.document)).over(order_by=page.c.position, rows=(None, -2))
    counted = select(page, func.coalesce(before, 0).label("num_chars")).subquery()
    return select(counted).where(counted.c.num_chars < max_chars).order_by(counted.c.position)
