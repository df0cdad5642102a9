"""Use cases of test suites."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

import structlog

from services.chassis.artifacts import Artifact, ArtifactStore
from services.chassis.errors import InvalidArgument
from services.chassis.waiting import Places
from services.registry.domain.identifiers import (
    check_produced_by,
    check_request_id,
    check_test_suite_id,
    version_ref,
)
from services.registry.domain.jsonl import check_size
from services.registry.domain.paging import Page, PageRequest
from services.registry.domain.suite_source import AS_THEY_ARE, Conversion, Reading, SuiteFormat, SuiteReader, read_cases
from services.registry.domain.test_suite import (
    BuiltInSuite,
    TestCase,
    TestSuiteVersion,
    TestSuiteVersionDraft,
    built_in_id,
    check_profile,
    check_provenance,
)
from services.registry.ports.stores import TestSuiteStore
from services.registry.usecases.adoption import Adoption
from services.registry.usecases.versions import VersionUseCases

MAX_SUITE_BYTES = 64 * 1024**2
_MAX_PAGE_BYTES = 8 * 1024**2
_log = structlog.get_logger()


class TestSuiteUseCases(VersionUseCases[TestSuiteVersion]):
    """Registers and reads suites; those that ship with the product are registered at start."""

    _id_field = "test_suite_version_id"

    def __init__(
        self,
        store: TestSuiteStore,
        artifacts: ArtifactStore,
        *,
        adoption: Adoption,
        files: Places,
        readers: Mapping[SuiteFormat, SuiteReader],
        built_in: Sequence[BuiltInSuite],
    ) -> None:
        super().__init__(store, adoption)
        self._store = store
        self._files = files
        self._artifacts = artifacts
        self._readers = readers
        self._built_in = built_in

    async def register_built_in(self) -> None:
        """Register each suite that ships with the product, once; a version that is there stays as it is."""
        for suite in self._built_in:
            known = await self._store.get_version(version_ref(suite.version_id))
            if known is None:
                await self._register(suite)
            elif known.artifact.digest != suite.digest:
                _log.warning("built_in_suite_differs", test_suite_version_id=suite.version_id)

    async def create_version(
        self, draft: TestSuiteVersionDraft, conversion: Conversion = AS_THEY_ARE
    ) -> TestSuiteVersion:
        """Adopt the draft's bytes, or what the conversion makes of them, check every case and register the version.

        Raises:
            InvalidArgument: A field or a line is wrong; the first bad line is named.
            AlreadyExists: The request_id was used with other words.
            Busy: As many files as are allowed are being checked.
            FailedPrecondition: The suite ships with the product; or the bytes aren't there or differ.
        """
        _check_source(draft.test_suite_id, draft.artifact, conversion)
        check_request_id(draft.request_id)
        check_produced_by(draft.produced_by)
        check_provenance(draft.provenance)
        if any(suite.test_suite_id == draft.test_suite_id for suite in self._built_in):
            raise built_in_id(draft.test_suite_id)
        draft = replace(draft, imported_from=conversion.origin(draft.artifact))
        known = await self._store.find_request(draft.request_id)
        if known is not None:
            draft.check_same(known)
            return known
        async with self._files.place():
            return await self._created(draft, conversion)

    async def _created(self, draft: TestSuiteVersionDraft, conversion: Conversion) -> TestSuiteVersion:
        if conversion.format is SuiteFormat.CASES and not conversion.skips_wrong_lines:
            async with self._adoption.adopted(draft.artifact) as artifact:
                cases = await self._read(artifact, draft.profile_id, conversion)
                return await self._add(draft, artifact, cases.cases)
        async with self._adoption.adopted(draft.artifact) as artifact:
            converted = (await self._read(artifact, draft.profile_id, conversion)).cases
        async with self._adoption.written("".join(f"{case.document}\n" for case in converted).encode()) as artifact:
            return await self._add(draft, artifact, converted)

    async def validate(self, test_suite_id: str, artifact: Artifact, conversion: Conversion) -> Reading:
        """Return the cases that a file holds or becomes, and what is wrong with its lines; nothing is kept.

        Raises:
            InvalidArgument: The id or the conversion is wrong, or the file holds nothing.
            Busy: As many files as are allowed are being checked.
            FailedPrecondition: The bytes aren't there or differ.
        """
        _check_source(test_suite_id, artifact, conversion)
        async with self._files.place(), self._adoption.adopted(artifact) as borrowed:
            return await self._read(borrowed, test_suite_id.partition("/")[0], conversion, raises=False)

    async def _check_free(self, version: TestSuiteVersion) -> None:
        if version.built_in:
            raise built_in_id(version.test_suite_id)

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

    async def _read(
        self,
        artifact: Artifact,
        profile_id: str,
        conversion: Conversion,
        *,
        raises: bool = True,
        built_in: bool = False,
    ) -> Reading:
        async with AsyncExitStack() as borrowed:
            answers = None
            if conversion.answers:
                kept = await borrowed.enter_async_context(self._adoption.adopted(conversion.answers))
                answers = await self._artifacts.local_path(kept.uri)
            content = await self._artifacts.local_path(artifact.uri)
            rows = self._readers[conversion.format](content, conversion, answers)
            skips = conversion.skips_wrong_lines and raises
            reading = await asyncio.to_thread(
                read_cases, rows, profile_id, skips_wrong_lines=skips, judges_references=not built_in
            )
        if raises:
            reading.raise_problems()
        return reading

    async def _add(
        self, draft: TestSuiteVersionDraft, artifact: Artifact, cases: Sequence[TestCase]
    ) -> TestSuiteVersion:
        return await self._store.add_version(replace(draft, artifact=artifact, num_cases=len(cases)), cases)

    async def _register(self, suite: BuiltInSuite) -> None:
        async with self._adoption.written(suite.content) as artifact:
            draft = TestSuiteVersionDraft(
                request_id=f"built-in:{suite.version_id}",
                test_suite_id=suite.test_suite_id,
                artifact=artifact,
                produced_by="",
                num_cases=0,
                built_in=True,
                provenance=suite.provenance,
            )
            cases = (await self._read(artifact, draft.profile_id, AS_THEY_ARE, built_in=True)).cases
            await self._store.add_version(replace(draft, num_cases=len(cases)), cases, version=suite.version)
        _log.info("built_in_suite_registered", test_suite_version_id=suite.version_id, num_cases=len(cases))


def _check_source(test_suite_id: str, artifact: Artifact, conversion: Conversion) -> None:
    check_test_suite_id(test_suite_id)
    profile_id = test_suite_id.partition("/")[0]
    check_profile(profile_id)
    conversion.check(profile_id)
    if conversion.answers and conversion.answers.digest == artifact.digest:
        raise InvalidArgument("The answers are the same file as the tasks.", "Name the file of possible answers.")
    for one in (artifact, conversion.answers):
        if one:
            check_size(one.size_bytes, MAX_SUITE_BYTES)
