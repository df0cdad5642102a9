"""Importing suites: what is converted, what is refused, what is left behind."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from services.chassis.artifacts import ArtifactStore
from services.chassis.errors import AlreadyExists, Busy, InvalidArgument
from services.chassis.waiting import Places
from services.protocols.cases import case_to_document
from services.protocols.profile import get_profile
from services.protocols.suites.suite import Provenance
from services.registry.__main__ import MIGRATIONS
from services.registry.domain.paging import PageRequest
from services.registry.domain.suite_source import MAX_PROBLEMS, Conversion, SuiteFormat
from services.registry.domain.test_suite import TestSuiteVersionDraft
from services.registry.importers.suites import SUITE_READERS
from services.registry.store.claims import SqlClaims
from services.registry.store.test_suites import SqlTestSuiteStore
from services.registry.usecases.adoption import Adoption
from services.registry.usecases.test_suite import TestSuiteUseCases
from tests.fakes.databases import new_database

PROMPTS = Conversion(format=SuiteFormat.PROMPTS)
GOOD = b'{"id": "a", "prompt": "2+2?", "answer": "4"}\n'
CASE = case_to_document(next(get_profile("roo_xml").draw(0, 1, categories=("single_call",))))


@dataclass
class Bench:
    root: Path
    uploads: ArtifactStore
    suites: TestSuiteUseCases
    files: Places

    def kept(self) -> set[str]:
        return {place.name for place in self.root.glob("blobs/*/*")}

    async def draft(self, content: bytes, **changes: Any) -> TestSuiteVersionDraft:
        draft = TestSuiteVersionDraft(
            request_id="",
            test_suite_id="text/mine",
            artifact=await self.uploads.put_bytes(content),
            produced_by="upload",
            num_cases=0,
            built_in=False,
        )
        return replace(draft, **changes)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    database = new_database(MIGRATIONS)
    store = SqlTestSuiteStore(database)
    own = ArtifactStore((tmp_path / "own").as_uri(), sources=((tmp_path / "other").as_uri() + "/",))
    files = Places("files", num_running=1, num_waiting=0)
    suites = TestSuiteUseCases(
        store,
        own,
        adoption=Adoption(own, SqlClaims(database)),
        files=files,
        readers=SUITE_READERS,
        built_in=(),
    )
    yield Bench(tmp_path / "own", ArtifactStore((tmp_path / "other").as_uri()), suites, files)


async def test_prompts_are_stored_as_the_cases_that_they_become(bench: Bench) -> None:
    draft = await bench.draft(GOOD, provenance=Provenance("CC0-1.0", source="a friend"))
    version = await bench.suites.create_version(draft, PROMPTS)
    listed = await bench.suites.list_cases("text/mine@1", PageRequest(10))
    assert [case.case_id for case in listed.items] == ["a"]
    assert version.imported_from == f"prompts {draft.artifact.digest}"
    assert version.artifact.digest != draft.artifact.digest
    assert version.provenance == Provenance("CC0-1.0", source="a friend")
    assert len(bench.kept()) == 1


async def test_an_import_is_registered_once_per_request(bench: Bench) -> None:
    draft = await bench.draft(GOOD, request_id="r")
    first = await bench.suites.create_version(draft, PROMPTS)
    assert await bench.suites.create_version(draft, PROMPTS) == first
    other = await bench.draft(GOOD.replace(b"4", b"5"), request_id="r")
    with pytest.raises(AlreadyExists, match="origin"):
        await bench.suites.create_version(other, PROMPTS)


async def test_versions_never_change_and_count_on(bench: Bench) -> None:
    first = await bench.suites.create_version(await bench.draft(GOOD), PROMPTS)
    second = await bench.suites.create_version(await bench.draft(GOOD.replace(b"4", b"5")), PROMPTS)
    assert (first.version_id, second.version_id) == ("text/mine@1", "text/mine@2")
    assert await bench.suites.get_version("text/mine@1") == first
    assert await bench.suites.get_version("text/mine") == second


async def test_tasks_and_answers_come_in_two_files(bench: Bench) -> None:
    function = {"name": "renew", "parameters": {"type": "dict", "properties": {}}}
    task = {"id": "simple_0", "question": [[{"role": "user", "content": "Renew."}]], "function": [function]}
    answers = await bench.uploads.put_bytes(b'{"id": "simple_0", "ground_truth": [{"renew": {}}]}\n')
    draft = await bench.draft(json.dumps(task).encode(), test_suite_id="openai_tools/bfcl")
    bfcl = Conversion(format=SuiteFormat.BFCL, answers=answers)
    version = await bench.suites.create_version(draft, bfcl)
    assert (version.num_cases, version.imported_from) == (1, f"bfcl {draft.artifact.digest} {answers.digest}")
    assert len(bench.kept()) == 1
    with pytest.raises(InvalidArgument, match="same file"):
        await bench.suites.create_version(draft, replace(bfcl, answers=draft.artifact))


async def test_several_wrong_lines_are_named_at_once_and_nothing_is_kept(bench: Bench) -> None:
    unknown = {**CASE, "case_id": "other", "tool": "fly", "expected": {"tool": "fly", "arguments": {}}}
    content = "\n".join([json.dumps(CASE), "{nonsense", json.dumps(CASE), json.dumps(unknown), ""])
    draft = await bench.draft(content.encode(), test_suite_id="roo_xml/mine")
    with pytest.raises(InvalidArgument, match=r"^Line 2 is not JSON.* Wrong as well: lines 3, 4\. "):
        await bench.suites.create_version(draft)
    reading = await bench.suites.validate("roo_xml/mine", draft.artifact, Conversion())
    assert [line for line, _ in reading.problems] == [2, 3, 4]
    told = [problem for _, problem in reading.problems]
    assert told[0].startswith("is not JSON")
    assert told[1] == f"has the id {CASE['case_id']!r} of line 1"
    assert "the protocol has no tool 'fly'" in told[2]
    assert (len(reading.cases), reading.is_cut) == (1, False)
    assert bench.kept() == set()


async def test_validating_ends_after_twenty_problems(bench: Bench) -> None:
    draft = await bench.draft(b"{oops\n" * 50)
    reading = await bench.suites.validate("text/mine", draft.artifact, PROMPTS)
    assert [line for line, _ in reading.problems] == list(range(1, MAX_PROBLEMS + 1))
    assert reading.is_cut
    with pytest.raises(InvalidArgument, match="and more"):
        await bench.suites.create_version(draft, PROMPTS)


async def test_wrong_lines_are_left_out_when_that_is_wished(bench: Bench) -> None:
    draft = await bench.draft(b"{oops\n" * 30 + GOOD + b'{"prompt": "no answer"}\n')
    version = await bench.suites.create_version(draft, replace(PROMPTS, skips_wrong_lines=True))
    assert version.num_cases == 1
    only_wrong = await bench.draft(b"{oops\n")
    with pytest.raises(InvalidArgument, match="no line"):
        await bench.suites.create_version(only_wrong, replace(PROMPTS, skips_wrong_lines=True))


@pytest.mark.parametrize(
    ("change", "conversion", "words"),
    [
        ({"test_suite_id": "roo_xml/mine"}, PROMPTS, "become cases of the profile text"),
        ({"test_suite_id": "text/mine"}, Conversion(format=SuiteFormat.BFCL), "of the profile openai_tools"),
        ({}, replace(PROMPTS, scorer="guess"), "is no scorer"),
        ({}, replace(PROMPTS, threshold=1.5), "threshold"),
        ({"provenance": Provenance("a\nb")}, PROMPTS, "provenance.licence"),
    ],
)
async def test_an_import_that_makes_no_sense_is_refused(
    bench: Bench, change: dict[str, Any], conversion: Conversion, words: str
) -> None:
    with pytest.raises(InvalidArgument, match=words):
        await bench.suites.create_version(await bench.draft(GOOD, **change), conversion)
    assert bench.kept() == set()


async def test_more_files_than_are_checked_at_once_are_refused_for_now_and_leave_nothing(bench: Bench) -> None:
    draft = await bench.draft(GOOD)
    async with bench.files.place():
        with pytest.raises(Busy, match="1 files are at work"):
            await bench.suites.create_version(draft, PROMPTS)
        with pytest.raises(Busy):
            await bench.suites.validate("text/mine", draft.artifact, PROMPTS)
        assert bench.kept() == set()
    assert (await bench.suites.create_version(draft, PROMPTS)).version == 1
