"""Suite versions and their cases in the registry's database."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import RowMapping, Select, insert, select
from sqlalchemy.ext.asyncio import AsyncMappingResult, AsyncSession

from services.chassis.database import Database
from services.protocols.suites import provenance_from_document
from services.registry.domain.identifiers import VersionRef
from services.registry.domain.paging import Page, PageRequest, number_of
from services.registry.domain.test_case import TestCase
from services.registry.domain.test_suite import TestSuiteVersion, TestSuiteVersionDraft
from services.registry.store.tables import TEST_CASES, TEST_SUITE_VERSIONS
from services.registry.store.versions import VersionTable, shared_fields

_IMPORTED_FROM = "imported_from"


class SqlTestSuiteStore:
    """Suite versions in SQLite or PostgreSQL; a suite and its cases are stored in one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._versions = VersionTable(database, TEST_SUITE_VERSIONS, columns_of=_columns, read=_version)
        self.find_request = self._versions.find_request
        self.holds = self._versions.holds

    async def add_version(
        self, draft: TestSuiteVersionDraft, cases: Sequence[TestCase], *, version: int | None = None
    ) -> TestSuiteVersion:
        """Store the suite under the next number, or under `version`."""
        async with self._database.session() as session:
            added, is_new = await self._versions.add(session, draft, version)
            if is_new and cases:
                rows = [_case_columns(added.version_id, position, case) for position, case in enumerate(cases, 1)]
                await session.execute(insert(TEST_CASES), rows)
        return added

    async def get_version(self, ref: VersionRef) -> TestSuiteVersion | None:
        """Return the version, or None."""
        return await self._versions.get(ref)

    async def list_versions(
        self, test_suite_id: str, page: PageRequest, *, built_in_only: bool = False
    ) -> Page[TestSuiteVersion]:
        """Return versions of one suite, or of all when `test_suite_id` is empty."""
        conditions = [TEST_SUITE_VERSIONS.c.built_in.is_(True)] if built_in_only else []
        return await self._versions.page(test_suite_id, page, *conditions)

    async def list_cases(self, version_id: str, page: PageRequest, *, max_bytes: int) -> Page[TestCase]:
        """Return cases in the suite's order; the page ends after the case with which it reaches `max_bytes`."""
        position = number_of(page.token) or 0
        found = select(TEST_CASES).where(TEST_CASES.c.version_id == version_id, TEST_CASES.c.position > position)
        found = found.order_by(TEST_CASES.c.position).limit(page.size + 1)
        shown: list[TestCase] = []
        num_bytes = 0
        async with self._database.reading() as session, _rows(session, found) as rows:
            async for row in rows:
                if len(shown) == page.size or num_bytes >= max_bytes:
                    return Page(tuple(shown), str(position))
                shown.append(TestCase(row["case_id"], row["category"], row["tool"], row["document"]))
                num_bytes += len(row["document"].encode("utf-8"))
                position = row["position"]
        return Page(tuple(shown))


@asynccontextmanager
async def _rows(session: AsyncSession, found: Select[Any]) -> AsyncIterator[AsyncMappingResult]:
    # Row by row: a page of the longest documents would not fit into memory at once.
    result = await session.stream(found)
    try:
        yield result.mappings()
    finally:
        await result.close()


def _columns(draft: TestSuiteVersionDraft) -> dict[str, Any]:
    origin = {**draft.provenance.to_document(), _IMPORTED_FROM: draft.imported_from}
    return {"num_cases": draft.num_cases, "built_in": draft.built_in, "origin": json.dumps(origin)}


def _case_columns(version_id: str, position: int, case: TestCase) -> dict[str, Any]:
    return {
        "version_id": version_id,
        "position": position,
        "case_id": case.case_id,
        "category": case.category,
        "tool": case.tool,
        "document": case.document,
    }


def _version(row: RowMapping) -> TestSuiteVersion:
    origin = json.loads(row["origin"])
    return TestSuiteVersion(
        **shared_fields(row),
        test_suite_id=row["owner_id"],
        num_cases=row["num_cases"],
        built_in=bool(row["built_in"]),
        provenance=provenance_from_document(origin),
        imported_from=origin.get(_IMPORTED_FROM, ""),
    )
