"""Use cases of test suites."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog

from services.registry.domain.identifiers import check_produced_by, check_request_id, check_test_suite_id, version_ref
from services.registry.domain.jsonl import check_size, read_unique
from services.registry.domain.paging import Page, PageRequest
from services.registry.domain.test_case import TestCase, case_of, check_profile
from services.registry.domain.test_suite import (
    BuiltInSuite,
    TestSuiteVersion,
    TestSuiteVersionDraft,
    built_in_id,
    suite_version_not_found,
)
from services.registry.ports import Artifacts, TestSuiteStore
from services.registry.usecases.adoption import Adoption

MAX_SUITE_BYTES = 64 * 1024**2
_MAX_PAGE_BYTES = 8 * 1024**2
_log = structlog.get_logger()


class TestSuiteUseCases:
    """Registers and reads suites; those that ship with the product are registered at start."""

    def __init__(
        self,
        store: TestSuiteStore,
        artifacts: Artifacts,
        *,
        adoption: Adoption,
        built_in: Sequence[BuiltInSuite],
    ) -> None:
        self._store = store
        self._artifacts = artifacts
        self._adoption = adoption
        self._built_in = built_in

    async def register_built_in(self) -> None:
        """Register each suite that ships with the product, once; a version that is there stays as it is."""
        for suite in self._built_in:
            known = await self._store.get_version(version_ref(suite.version_id))
            if known is None:
                await self._register(suite)
            elif known.artifact.digest != suite.digest:
                _log.warning("built_in_suite_differs", test_suite_version_id=suite.version_id)

    async def create_version(self, draft: TestSuiteVersionDraft) -> TestSuiteVersion:
        """Adopt the draft's bytes, check every case and register the version.

        Raises:
            InvalidArgument: A field or a line is wrong; the first bad line is named.
            AlreadyExists: The request_id was used with other words.
            FailedPrecondition: The suite ships with the product; or the bytes aren't there or differ.
        """
        check_test_suite_id(draft.test_suite_id)
        check_profile(draft.profile_id)
        check_request_id(draft.request_id)
        check_produced_by(draft.produced_by)
        check_size(draft.artifact.size_bytes, MAX_SUITE_BYTES)
        if any(suite.test_suite_id == draft.test_suite_id for suite in self._built_in):
            raise built_in_id(draft.test_suite_id)
        known = await self._store.find_request(draft.request_id)
        if known is not None:
            draft.check_same(known)
            return known
        async with self._adoption.adopted(draft.artifact) as artifact:
            path = await self._artifacts.local_path(artifact.uri)
            cases = await asyncio.to_thread(_cases_of, path, draft.profile_id)
            return await self._store.add_version(replace(draft, artifact=artifact, num_cases=len(cases)), cases)

    async def get_version(self, text: str) -> TestSuiteVersion:
        """Return the version that "<id>@<version>" or "<id>" names.

        Raises:
            NotFound: There is none.
        """
        found = await self._store.get_version(version_ref(text))
        if found is None:
            raise suite_version_not_found(text)
        return found

    async def list_versions(
        self, test_suite_id: str, page: PageRequest, *, built_in_only: bool
    ) -> Page[TestSuiteVersion]:
        """Return versions, newest first, of one suite or (empty id) of all.

        Raises:
            NotFound: The named suite isn't there.
        """
        if test_suite_id:
            await self.get_version(test_suite_id)
        return await self._store.list_versions(test_suite_id, page, built_in_only=built_in_only)

    async def list_cases(self, text: str, page: PageRequest) -> Page[TestCase]:
        """Return cases in the suite's order; a page ends early when its text would outgrow a message.

        Raises:
            NotFound: The suite isn't there.
        """
        version = await self.get_version(text)
        return await self._store.list_cases(version.version_id, page, max_bytes=_MAX_PAGE_BYTES)

    async def _register(self, suite: BuiltInSuite) -> None:
        artifact = await self._artifacts.put_bytes(suite.content)
        draft = TestSuiteVersionDraft(
            request_id=f"built-in:{suite.version_id}",
            test_suite_id=suite.test_suite_id,
            artifact=artifact,
            produced_by="",
            num_cases=0,
            built_in=True,
        )
        cases = _cases_of(await self._artifacts.local_path(artifact.uri), draft.profile_id)
        draft = replace(draft, num_cases=len(cases))
        await self._store.add_version(draft, cases, version=suite.version)
        _log.info("built_in_suite_registered", test_suite_version_id=suite.version_id, num_cases=len(cases))


def _cases_of(path: Path, profile_id: str) -> list[TestCase]:
    with path.open("rb") as stream:
        return list(read_unique(stream, partial(case_of, profile_id=profile_id), lambda case: case.case_id))
