"""Registering models, datasets and suites: what is adopted, what is refused, what is left behind."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from services.chassis.artifacts import Artifact, ArtifactStore, tree
from services.chassis.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from services.chassis.waiting import Places
from services.protocols.cases import case_to_document
from services.protocols.profile import get_profile
from services.registry.__main__ import MIGRATIONS
from services.registry.domain.dataset import DatasetVersionDraft
from services.registry.domain.model import ModelFacts, ModelVersionDraft, ModelVersionKind
from services.registry.domain.paging import PageRequest
from services.registry.domain.test_suite import BuiltInSuite, TestSuiteVersionDraft
from services.registry.importers.inspection import FolderFacts
from services.registry.importers.rows.conversion import RowFiles
from services.registry.importers.suites import SUITE_READERS
from services.registry.importers.workspace import Workspace
from services.registry.store.claims import SqlClaims
from services.registry.store.datasets import SqlDatasetStore
from services.registry.store.models import SqlModelStore
from services.registry.store.test_suites import SqlTestSuiteStore
from services.registry.usecases.adoption import Adoption
from services.registry.usecases.dataset import DatasetUseCases
from services.registry.usecases.model import ModelUseCases
from services.registry.usecases.test_suite import TestSuiteUseCases
from tests.fakes.databases import new_database
from tests.machine import PATIENCE_SECONDS
from tests.unit.registry.model_folders import write_adapter, write_model

PROFILE = get_profile("roo_xml")
CASES = tuple(PROFILE.draw(0, 6, categories=("single_call",)))
SUITE = "".join(json.dumps(case_to_document(case)) + "\n" for case in CASES).encode()


@dataclass
class Registry:
    root: Path
    own: ArtifactStore
    claims: SqlClaims
    other: ArtifactStore
    models: ModelUseCases
    datasets: DatasetUseCases
    suites: TestSuiteUseCases

    def replica(self) -> Adoption:
        """Another process of the registry, over the same database and bytes."""
        return Adoption(self.own, self.claims)

    def kept(self) -> set[str]:
        return {place.name for kind in ("blobs", "trees") for place in self.root.glob(f"{kind}/*/*")}


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    database = new_database(MIGRATIONS)
    models, datasets, suites = SqlModelStore(database), SqlDatasetStore(database), SqlTestSuiteStore(database)
    own = ArtifactStore((tmp_path / "own").as_uri(), sources=((tmp_path / "other").as_uri() + "/",))
    adoption = Adoption(own, SqlClaims(database))
    files, row_files = Places("files", num_running=2, num_waiting=8), RowFiles(Workspace(tmp_path / "work"))
    built_in = (BuiltInSuite("roo_xml/core", 1, SUITE),)
    yield Registry(
        root=tmp_path / "own",
        own=own,
        claims=SqlClaims(database),
        other=ArtifactStore((tmp_path / "other" / "trainer").as_uri()),
        models=ModelUseCases(models, own, adoption=adoption, files=FolderFacts()),
        datasets=DatasetUseCases(datasets, own, adoption=adoption, files=files, row_files=row_files),
        suites=TestSuiteUseCases(suites, own, adoption=adoption, files=files, readers=SUITE_READERS, built_in=built_in),
    )


def model_draft(
    artifact: Artifact, *, kind: ModelVersionKind = ModelVersionKind.BASE, base: str = ""
) -> ModelVersionDraft:
    return ModelVersionDraft(
        request_id="r",
        model_id="tiny",
        kind=kind,
        base_model_version_id=base,
        artifact=artifact,
        source=None,
        produced_by="training_job:1",
        facts=ModelFacts("", 0, 0),
    )


def suite_draft(artifact: Artifact, **changes: Any) -> TestSuiteVersionDraft:
    draft = TestSuiteVersionDraft(
        request_id="s", test_suite_id="roo_xml/mine", artifact=artifact, produced_by="", num_cases=0, built_in=False
    )
    return replace(draft, **changes)


def dataset_draft(artifact: Artifact) -> DatasetVersionDraft:
    return DatasetVersionDraft(
        request_id="d",
        dataset_id="roo_xml/drill",
        artifact=artifact,
        produced_by="loop:1",
        num_train_examples=0,
        num_validation_examples=0,
    )


def rows(*splits: str) -> list[dict[str, Any]]:
    return [
        {
            "example_id": f"e{number}",
            "split": split,
            "cause": "no_call",
            "tool": case.tool,
            "profile_id": "roo_xml",
            "messages": PROFILE.example(case, "compact")["messages"],
            "case": case_to_document(case),
        }
        for number, (split, case) in enumerate(zip(splits, CASES, strict=False))
    ]


async def put_lines(registry: Registry, documents: list[Any]) -> Artifact:
    return await registry.other.put_bytes("".join(json.dumps(document) + "\n" for document in documents).encode())


async def test_an_adapter_gets_what_its_base_says(registry: Registry, tmp_path: Path) -> None:
    full = await registry.other.put_tree(write_model(tmp_path / "m"))
    lora = await registry.other.put_tree(write_adapter(tmp_path / "a"))
    base = await registry.models.create_version(model_draft(full))
    draft = model_draft(lora, kind=ModelVersionKind.ADAPTER, base=base.version_id)
    adapter = await registry.models.create_version(replace(draft, request_id="r2"))
    assert (base.facts.num_parameters, adapter.facts.num_parameters) == (128, 16)
    assert (adapter.facts.architecture, adapter.facts.context_length) == ("llama", 512)
    assert (adapter.version_id, adapter.base_model_version_id) == ("tiny@2", "tiny@1")
    assert (adapter.artifact.digest, adapter.artifact.size_bytes) == (lora.digest, lora.size_bytes)
    assert adapter.artifact.uri.startswith(registry.root.as_uri())
    trained = replace(model_draft(full, kind=ModelVersionKind.TRAINED, base=base.version_id), request_id="r3")
    on_trained = replace(draft, base_model_version_id=(await registry.models.create_version(trained)).version_id)
    assert (await registry.models.create_version(replace(on_trained, request_id="r4"))).version_id == "tiny@4"


async def test_a_repeated_call_needs_its_source_no_more(registry: Registry, tmp_path: Path) -> None:
    full = await registry.other.put_tree(write_model(tmp_path / "m"))
    first = await registry.models.create_version(model_draft(full))
    await registry.other.delete(full.uri)
    assert await registry.models.create_version(model_draft(full)) == first
    with pytest.raises(AlreadyExists):
        await registry.models.create_version(replace(model_draft(full), produced_by="else"))


@pytest.mark.parametrize(
    ("kind", "base", "error"),
    [
        (ModelVersionKind.ADAPTER, "", InvalidArgument),
        (ModelVersionKind.MERGED, "", InvalidArgument),
        (ModelVersionKind.TRAINED, "", InvalidArgument),
        (ModelVersionKind.BASE, "tiny@1", InvalidArgument),
        (ModelVersionKind.ADAPTER, "tiny@9", NotFound),
        (ModelVersionKind.ADAPTER, "nobody@1", NotFound),
        (ModelVersionKind.ADAPTER, "tiny", InvalidArgument),
        (ModelVersionKind.ADAPTER, "tiny@2", InvalidArgument),
    ],
)
async def test_lineage_that_makes_no_sense_is_refused(
    registry: Registry, tmp_path: Path, kind: ModelVersionKind, base: str, error: type[Exception]
) -> None:
    full = await registry.other.put_tree(write_model(tmp_path / "m"))
    lora = await registry.other.put_tree(write_adapter(tmp_path / "a"))
    await registry.models.create_version(model_draft(full))
    adapter = replace(model_draft(lora, kind=ModelVersionKind.ADAPTER, base="tiny@1"), request_id="r2")
    await registry.models.create_version(adapter)
    kept = registry.kept()
    with pytest.raises(error):
        await registry.models.create_version(replace(model_draft(full, kind=kind, base=base), request_id="r3"))
    assert registry.kept() == kept


@pytest.mark.parametrize("change", [{"size_bytes": 1}, {"digest": "sha256:" + "0" * 64}])
async def test_bytes_that_differ_from_the_claim_are_refused(
    registry: Registry, tmp_path: Path, change: dict[str, Any]
) -> None:
    full = await registry.other.put_tree(write_model(tmp_path / "m"))
    with pytest.raises(FailedPrecondition):
        await registry.models.create_version(model_draft(replace(full, **change)))
    assert registry.kept() == set()


async def test_a_folder_that_is_no_model_leaves_nothing_behind(registry: Registry, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", auto_map={"AutoModel": "evil.Model"})
    with pytest.raises(InvalidArgument, match="auto_map"):
        await registry.models.create_version(model_draft(await registry.other.put_tree(folder)))
    assert registry.kept() == set()
    with pytest.raises(NotFound):
        await registry.models.get("tiny")


async def test_equal_bytes_of_another_version_survive_a_refusal(registry: Registry) -> None:
    artifact = await registry.other.put_bytes(SUITE)
    await registry.suites.create_version(suite_draft(artifact))
    with pytest.raises(InvalidArgument):
        await registry.datasets.create_version(dataset_draft(artifact))
    assert registry.kept() == {artifact.digest.removeprefix("sha256:")}


async def test_equal_bytes_adopted_at_once_survive_the_refusal_of_one(registry: Registry) -> None:
    artifact = await registry.other.put_bytes(SUITE)
    results = await asyncio.gather(
        registry.datasets.create_version(dataset_draft(artifact)),
        registry.suites.create_version(suite_draft(artifact)),
        return_exceptions=True,
    )
    assert [type(result) for result in results if isinstance(result, Exception)] == [InvalidArgument]
    assert len(registry.kept()) == 1


async def test_another_replica_s_refusal_never_deletes_the_bytes_that_this_one_registers(registry: Registry) -> None:
    artifact = await registry.other.put_bytes(SUITE)
    async with registry.replica().adopted(artifact) as adopted:
        with pytest.raises(InvalidArgument):
            await registry.datasets.create_version(dataset_draft(artifact))
        assert registry.kept() == {adopted.digest.removeprefix("sha256:")}
    assert registry.kept() == set()


async def test_a_wrong_word_for_bytes_that_a_version_holds_deletes_nothing(registry: Registry) -> None:
    artifact = await registry.other.put_bytes(SUITE)
    await registry.suites.create_version(suite_draft(artifact))
    lie = replace(artifact, digest="sha256:" + "0" * 64)
    with pytest.raises(FailedPrecondition, match="digest"):
        await registry.datasets.create_version(dataset_draft(lie))
    assert len(registry.kept()) == 1


async def test_a_call_that_is_cancelled_while_its_bytes_are_copied_leaves_nothing(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def take(*places: Any) -> int:
        begun.set()
        may_end.wait(PATIENCE_SECONDS)
        return tree.take(*places)

    artifact = await registry.other.put_bytes(SUITE)
    monkeypatch.setattr("services.chassis.artifacts.store.tree", SimpleNamespace(**vars(tree) | {"take": take}))
    creating = asyncio.create_task(registry.suites.create_version(suite_draft(artifact)))
    await asyncio.to_thread(begun.wait, 30)
    creating.cancel()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await creating
    assert registry.kept() == set()


async def test_what_a_killed_process_adopted_is_collected(registry: Registry) -> None:
    artifact = await registry.other.put_bytes(SUITE)
    await registry.claims.add(registry.own.own_uri(artifact.uri))
    await registry.own.adopt(artifact.uri, artifact.digest, artifact.size_bytes)
    await registry.replica().collect()
    assert (registry.kept(), await registry.claims.abandoned()) == (set(), [])


async def test_damaged_bytes_are_healed_by_uploading_the_file_again(registry: Registry) -> None:
    artifact = await registry.other.put_bytes(SUITE)
    version = await registry.suites.create_version(suite_draft(artifact))
    place = await registry.own.local_path(version.artifact.uri)
    place.unlink()
    place.write_bytes(SUITE.upper())
    with pytest.raises(FailedPrecondition, match=r"damaged.*upload the same file again"):
        await registry.own.local_path(version.artifact.uri)
    again = await registry.suites.create_version(suite_draft(artifact, request_id="again"))
    assert again.artifact == version.artifact
    assert (await registry.own.local_path(version.artifact.uri)).read_bytes() == SUITE


async def test_rows_are_counted_by_split(registry: Registry) -> None:
    artifact = await put_lines(registry, rows("train", "validation", "train"))
    version = (await registry.datasets.create_version(dataset_draft(artifact))).version
    assert (version.num_train_examples, version.num_validation_examples) == (2, 1)
    assert await registry.datasets.get_version("roo_xml/drill") == version


def duplicate(documents: list[dict[str, Any]]) -> None:
    documents[2]["example_id"] = documents[0]["example_id"]


def unanswered(documents: list[dict[str, Any]]) -> None:
    documents[2]["messages"].pop()


@pytest.mark.parametrize("spoil", [duplicate, unanswered])
async def test_a_bad_row_is_named_by_its_line(
    registry: Registry, spoil: Callable[[list[dict[str, Any]]], None]
) -> None:
    documents = rows("train", "train", "train")
    spoil(documents)
    with pytest.raises(InvalidArgument, match=r"^Line 3 "):
        await registry.datasets.create_version(dataset_draft(await put_lines(registry, documents)))
    assert registry.kept() == set()


async def test_a_suite_keeps_its_lines_in_order(registry: Registry) -> None:
    version = await registry.suites.create_version(suite_draft(await registry.other.put_bytes(SUITE)))
    page = await registry.suites.list_cases("roo_xml/mine@1", PageRequest(1000))
    assert (version.num_cases, version.profile_id, version.built_in) == (6, "roo_xml", False)
    assert "".join(case.document + "\n" for case in page.items).encode() == SUITE


async def test_a_line_that_is_no_json_is_named_by_its_number(registry: Registry) -> None:
    content = SUITE.splitlines(keepends=True)
    content[4] = b"{oops\n"
    artifact = await registry.other.put_bytes(b"".join(content))
    with pytest.raises(InvalidArgument, match=r"^Line 5 is not JSON") as refusal:
        await registry.suites.create_version(suite_draft(artifact))
    assert refusal.value.fields["line"] == "5"
    assert registry.kept() == set()
    with pytest.raises(NotFound):
        await registry.suites.get_version("roo_xml/mine")


@pytest.mark.parametrize(
    ("suite_id", "error"),
    [("roo_xml/core", FailedPrecondition), ("klingon/mine", InvalidArgument), ("mine", InvalidArgument)],
)
async def test_a_suite_under_a_name_that_is_not_free_is_refused(
    registry: Registry, suite_id: str, error: type[Exception]
) -> None:
    artifact = await registry.other.put_bytes(SUITE)
    with pytest.raises(error):
        await registry.suites.create_version(suite_draft(artifact, test_suite_id=suite_id))


async def test_built_in_suites_are_registered_once(registry: Registry) -> None:
    await registry.suites.register_built_in()
    await registry.suites.register_built_in()
    listed = await registry.suites.list_versions("", PageRequest(10), built_in_only=True)
    assert [(version.version_id, version.num_cases, version.built_in) for version in listed.items] == [
        ("roo_xml/core@1", 6, True)
    ]


async def test_a_built_in_suite_that_changed_leaves_the_stored_one_alone(registry: Registry) -> None:
    await registry.suites.register_built_in()
    before = await registry.suites.get_version("roo_xml/core@1")
    changed = BuiltInSuite("roo_xml/core", 1, SUITE.splitlines(keepends=True)[0])
    registry.suites._built_in = (changed,)
    await registry.suites.register_built_in()
    assert await registry.suites.get_version("roo_xml/core@1") == before


@pytest.mark.parametrize("text", ["nobody", "nobody@1", "roo_xml/core@99", "", "../etc", "a\0"])
async def test_what_is_not_there_is_not_found(registry: Registry, text: str) -> None:
    for get in (registry.models.get, registry.models.get_version, registry.datasets.get_version):
        with pytest.raises(NotFound):
            await get(text)
    with pytest.raises(NotFound):
        await registry.suites.list_cases(text, PageRequest(10))


async def test_a_deleted_version_takes_its_bytes_along_unless_another_has_the_same(registry: Registry) -> None:
    claimed = await put_lines(registry, rows("train", "validation"))
    first = (await registry.datasets.create_version(dataset_draft(claimed))).version
    second = (await registry.datasets.create_version(replace(dataset_draft(claimed), request_id="d2"))).version
    await registry.datasets.delete_version(first.version_id)
    assert len(registry.kept()) == 1
    await registry.datasets.delete_version(second.version_id)
    assert registry.kept() == set()
    third = (await registry.datasets.create_version(replace(dataset_draft(claimed), request_id="d3"))).version
    assert third.version_id == "roo_xml/drill@3", "a number is never given again"


async def test_what_is_made_of_a_version_or_ships_with_the_product_holds_it(registry: Registry, tmp_path: Path) -> None:
    full = await registry.other.put_tree(write_model(tmp_path / "m"))
    lora = await registry.other.put_tree(write_adapter(tmp_path / "a"))
    base = await registry.models.create_version(model_draft(full))
    draft = model_draft(lora, kind=ModelVersionKind.ADAPTER, base=base.version_id)
    await registry.models.create_version(replace(draft, request_id="r2"))
    with pytest.raises(FailedPrecondition, match="tiny@2 is made of tiny@1"):
        await registry.models.delete_version("tiny@1")
    with pytest.raises(InvalidArgument, match="names no single version"):
        await registry.models.delete_version("tiny")
    await registry.models.delete_version("tiny@2")
    await registry.models.delete_version("tiny@1")
    await registry.suites.register_built_in()
    with pytest.raises(FailedPrecondition, match="ships with the product"):
        await registry.suites.delete_version("roo_xml/core@1")
    suite = await registry.suites.create_version(suite_draft(await registry.other.put_bytes(SUITE)))
    await registry.suites.delete_version(suite.version_id)
    with pytest.raises(NotFound):
        await registry.suites.get_version(suite.version_id)
