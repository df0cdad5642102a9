"""The registry's stores in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from services.chassis.errors import AlreadyExists
from services.chassis.wire.paging import LAST_PLACE, page_of, place_of, token_of
from services.registry.domain.dataset import DatasetVersion, DatasetVersionDraft
from services.registry.domain.draft import Draft, Numbered
from services.registry.domain.identifiers import VersionRef, version_id
from services.registry.domain.model import Model, ModelVersion, ModelVersionDraft, ModelVersionKind
from services.registry.domain.paging import Page, PageRequest
from services.registry.domain.test_case import TestCase
from services.registry.domain.test_suite import TestSuiteVersion, TestSuiteVersionDraft

DraftT = TypeVar("DraftT", bound=Draft)
VersionT = TypeVar("VersionT", bound=Numbered)


class _MemoryVersions(Generic[DraftT, VersionT]):
    def __init__(self, version_class: Any) -> None:
        self._class = version_class
        self.rows: list[VersionT] = []

    async def find_request(self, request_id: str) -> VersionT | None:
        return next((row for row in self.rows if request_id and row.request_id == request_id), None)

    async def get_version(self, ref: VersionRef) -> VersionT | None:
        owned = [row for row in self.rows if row.owner_id == ref.owner_id]
        if ref.version is None:
            return max(owned, key=lambda row: row.version, default=None)
        return next((row for row in owned if row.version == ref.version), None)

    async def holds(self, digest: str) -> bool:
        return any(row.artifact.digest == digest for row in self.rows)

    async def _add(self, draft: DraftT, number: int | None = None) -> tuple[VersionT, bool]:
        known = await self.find_request(draft.request_id)
        if known is not None:
            draft.check_same(known)
            return known, False
        taken = [row.version for row in self.rows if row.owner_id == draft.owner_id]
        version = number or max(taken, default=0) + 1
        if version in taken:
            raise AlreadyExists(f"{version_id(draft.owner_id, version)} is registered.", "Use the next number.")
        self.rows.append(self._class.of(draft, version, datetime.now(UTC)))
        return self.rows[-1], True

    def _page(self, rows: Sequence[VersionT], page: PageRequest) -> Page[VersionT]:
        before = place_of(page.token, LAST_PLACE)
        older = [row for row in reversed(rows) if self.rows.index(row) < before]
        shown, token = page_of(older, page.size, self.rows.index)
        return Page(tuple(shown), token)


class MemoryModelStore(_MemoryVersions[ModelVersionDraft, ModelVersion]):
    def __init__(self) -> None:
        super().__init__(ModelVersion)

    async def add_version(self, draft: ModelVersionDraft) -> ModelVersion:
        return (await self._add(draft))[0]

    async def list_versions(self, model_id: str, page: PageRequest) -> Page[ModelVersion]:
        return self._page([row for row in self.rows if model_id in ("", row.model_id)], page)

    async def find_imported(self, source_digest: str) -> ModelVersion | None:
        found = (row for row in reversed(self.rows) if row.source is not None and row.source.digest == source_digest)
        return next((row for row in found if row.kind is ModelVersionKind.BASE), None)

    async def get_model(self, model_id: str) -> Model | None:
        owned = [row for row in self.rows if row.model_id == model_id]
        return Model(model_id, owned[-1].version, owned[0].create_time) if owned else None

    async def list_models(self, page: PageRequest) -> Page[Model]:
        ids = sorted({row.model_id for row in self.rows if row.model_id > place_of(page.token, "")})
        shown = ids[: page.size]
        models = [model for model_id in shown if (model := await self.get_model(model_id)) is not None]
        return Page(tuple(models), token_of(shown[-1]) if len(ids) > page.size else "")


class MemoryDatasetStore(_MemoryVersions[DatasetVersionDraft, DatasetVersion]):
    def __init__(self) -> None:
        super().__init__(DatasetVersion)

    async def add_version(self, draft: DatasetVersionDraft) -> DatasetVersion:
        return (await self._add(draft))[0]

    async def list_versions(self, dataset_id: str, page: PageRequest) -> Page[DatasetVersion]:
        return self._page([row for row in self.rows if dataset_id in ("", row.dataset_id)], page)


class MemoryTestSuiteStore(_MemoryVersions[TestSuiteVersionDraft, TestSuiteVersion]):
    def __init__(self) -> None:
        super().__init__(TestSuiteVersion)
        self._cases: dict[str, tuple[TestCase, ...]] = {}

    async def add_version(
        self, draft: TestSuiteVersionDraft, cases: Sequence[TestCase], *, version: int | None = None
    ) -> TestSuiteVersion:
        added, is_new = await self._add(draft, version)
        if is_new:
            self._cases[added.version_id] = tuple(cases)
        return added

    async def list_versions(
        self, test_suite_id: str, page: PageRequest, *, built_in_only: bool = False
    ) -> Page[TestSuiteVersion]:
        shown = [row for row in self.rows if test_suite_id in ("", row.test_suite_id)]
        return self._page([row for row in shown if row.built_in or not built_in_only], page)

    async def list_cases(self, version_id: str, page: PageRequest, *, max_bytes: int) -> Page[TestCase]:
        after = place_of(page.token, 0)
        cases = self._cases[version_id]
        shown: list[TestCase] = []
        num_bytes = 0
        for case in cases[after:]:
            if len(shown) == page.size or num_bytes >= max_bytes:
                return Page(tuple(shown), token_of(after + len(shown)))
            shown.append(case)
            num_bytes += len(case.document.encode("utf-8"))
        return Page(tuple(shown))
