"""The promises of the registry's stores, over every implementation."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from services.chassis.artifacts import Artifact
from services.chassis.database import Database
from services.chassis.errors import AlreadyExists, InvalidArgument, Unavailable
from services.protocols.suites.suite import Provenance
from services.registry.__main__ import MIGRATIONS
from services.registry.domain.dataset import DatasetVersionDraft
from services.registry.domain.identifiers import VersionRef
from services.registry.domain.model import ModelFacts, ModelVersionDraft, ModelVersionKind
from services.registry.domain.paging import PageRequest
from services.registry.domain.test_suite import TestCase, TestSuiteVersionDraft
from services.registry.ports.stores import Claims, DatasetStore, ModelStore, TestSuiteStore
from services.registry.store.claims import SqlClaims
from services.registry.store.datasets import SqlDatasetStore
from services.registry.store.models import SqlModelStore
from services.registry.store.test_suites import SqlTestSuiteStore
from tests.contract.conftest import OpenDatabase

FIRST = PageRequest(1000)


@dataclass(frozen=True)
class Stores:
    models: ModelStore
    datasets: DatasetStore
    suites: TestSuiteStore
    claims: Claims
    kind: str
    database: Database


@pytest.fixture(params=["sqlite", "postgresql"])
async def stores(request: pytest.FixtureRequest, open_database: OpenDatabase) -> AsyncIterator[Stores]:
    database = await open_database(request.param, MIGRATIONS)
    yield Stores(
        SqlModelStore(database),
        SqlDatasetStore(database),
        SqlTestSuiteStore(database),
        SqlClaims(database),
        request.param,
        database,
    )


def artifact(content: str) -> Artifact:
    return Artifact(f"file:///artifacts/{content}", f"sha256:{content:0>64}", len(content))


def model_draft(
    request_id: str = "", *, model_id: str = "tiny", content: str = "a", source: str = "", base: str = ""
) -> ModelVersionDraft:
    return ModelVersionDraft(
        request_id=request_id,
        model_id=model_id,
        kind=ModelVersionKind.ADAPTER if base else ModelVersionKind.BASE,
        base_model_version_id=base,
        artifact=artifact(content),
        source=artifact(source) if source else None,
        produced_by="test",
        facts=ModelFacts("llama", 3_000_000_000, 4096),
    )


def dataset_draft(request_id: str = "", *, content: str = "d") -> DatasetVersionDraft:
    return DatasetVersionDraft(
        request_id=request_id,
        dataset_id="roo_xml/drill",
        artifact=artifact(content),
        produced_by="loop:1",
        num_train_examples=3,
        num_validation_examples=1,
    )


def suite_draft(
    request_id: str = "", *, suite_id: str = "roo_xml/mine", built_in: bool = False
) -> TestSuiteVersionDraft:
    return TestSuiteVersionDraft(
        request_id=request_id,
        test_suite_id=suite_id,
        artifact=artifact("f"),
        produced_by="",
        num_cases=2,
        built_in=built_in,
    )


def cases(count: int) -> list[TestCase]:
    return [TestCase(f"case-{number}", "files", "read_file", f'{{"n": {number}}}') for number in range(count)]


async def test_versions_are_numbered_from_one_per_owner(stores: Stores) -> None:
    versions = [await stores.models.add_version(model_draft(model_id=name)) for name in ("a", "b", "a")]
    assert [version.version_id for version in versions] == ["a@1", "b@1", "a@2"]


async def test_concurrent_additions_get_different_numbers(stores: Stores) -> None:
    added = await asyncio.gather(*(stores.datasets.add_version(dataset_draft()) for _ in range(20)))
    assert sorted(version.version for version in added) == list(range(1, 21))


async def test_what_is_read_equals_what_was_added(stores: Stores) -> None:
    before = datetime.now(UTC)
    base = await stores.models.add_version(model_draft(source="5"))
    adapter = await stores.models.add_version(model_draft("r", content="b", base=base.version_id))
    dataset = await stores.datasets.add_version(dataset_draft("d"))
    suite = await stores.suites.add_version(suite_draft("s"), cases(2))
    assert await stores.models.get_version(VersionRef("tiny", 1)) == base
    assert await stores.models.get_version(VersionRef("tiny", 2)) == adapter
    assert await stores.datasets.get_version(VersionRef("roo_xml/drill", 1)) == dataset
    assert await stores.suites.get_version(VersionRef("roo_xml/mine", 1)) == suite
    assert before <= base.create_time <= adapter.create_time <= datetime.now(UTC)
    assert (base.source, adapter.source) == (artifact("5"), None)
    assert adapter.base_model_version_id == "tiny@1"


async def test_a_reference_without_number_gives_the_newest(stores: Stores) -> None:
    for content in "abc":
        await stores.models.add_version(model_draft(content=content))
    newest = await stores.models.get_version(VersionRef("tiny", None))
    assert newest is not None
    assert newest.version == 3


@pytest.mark.parametrize("ref", [VersionRef("tiny", 2), VersionRef("other", None), VersionRef("", None)])
async def test_what_is_not_there_is_none(stores: Stores, ref: VersionRef) -> None:
    await stores.models.add_version(model_draft())
    assert await stores.models.get_version(ref) is None


async def test_a_repeated_request_gives_the_first_version(stores: Stores) -> None:
    first = await stores.models.add_version(model_draft("once"))
    again = await stores.models.add_version(model_draft("once"))
    assert again == first
    assert await stores.models.find_request("once") == first
    assert len((await stores.models.list_versions("", FIRST)).items) == 1


async def test_fifty_equal_requests_at_once_register_one_version(stores: Stores) -> None:
    added = await asyncio.gather(*(stores.suites.add_version(suite_draft("once"), cases(2)) for _ in range(50)))
    assert {version.version_id for version in added} == {"roo_xml/mine@1"}
    listed = await stores.suites.list_cases("roo_xml/mine@1", FIRST, max_bytes=10_000)
    assert list(listed.items) == cases(2)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"model_id": "other"}, "model_id"),
        ({"artifact": artifact("c")}, "artifact.digest"),
        ({"produced_by": "someone"}, "produced_by"),
        ({"kind": ModelVersionKind.MERGED}, "kind"),
    ],
)
async def test_a_request_id_used_for_another_request_is_refused(
    stores: Stores, change: dict[str, object], field: str
) -> None:
    await stores.models.add_version(model_draft("once"))
    with pytest.raises(AlreadyExists) as refusal:
        await stores.models.add_version(replace(model_draft("once"), **change))  # type: ignore[arg-type]
    assert refusal.value.fields["field"] == field


async def test_an_empty_request_id_is_nobodys(stores: Stores) -> None:
    await stores.datasets.add_version(dataset_draft(""))
    assert await stores.datasets.find_request("") is None


async def test_pages_run_from_the_newest_to_the_oldest_while_versions_are_added(stores: Stores) -> None:
    for _ in range(5):
        await stores.datasets.add_version(dataset_draft())
    first = await stores.datasets.list_versions("", PageRequest(2))
    await stores.datasets.add_version(dataset_draft())
    second = await stores.datasets.list_versions("", PageRequest(2, first.next_token))
    third = await stores.datasets.list_versions("", PageRequest(2, second.next_token))
    assert [row.version for page in (first, second, third) for row in page.items] == [5, 4, 3, 2, 1]
    assert third.next_token == ""


async def test_a_token_that_no_page_gave_is_refused(stores: Stores) -> None:
    with pytest.raises(InvalidArgument):
        await stores.datasets.list_versions("", PageRequest(2, "no'token"))


async def test_versions_of_one_owner_are_listed_alone(stores: Stores) -> None:
    for name in ("a", "b", "a"):
        await stores.models.add_version(model_draft(model_id=name))
    listed = await stores.models.list_versions("a", FIRST)
    assert [row.version_id for row in listed.items] == ["a@2", "a@1"]


async def test_models_are_paged_by_id_with_their_newest_number(stores: Stores) -> None:
    for name in ("c", "a", "b", "a"):
        await stores.models.add_version(model_draft(model_id=name))
    first = await stores.models.list_models(PageRequest(2))
    rest = await stores.models.list_models(PageRequest(2, first.next_token))
    assert [(model.model_id, model.latest_version) for model in (*first.items, *rest.items)] == [
        ("a", 2),
        ("b", 1),
        ("c", 1),
    ]
    assert rest.next_token == ""
    assert await stores.models.get_model("a") == first.items[0]
    assert await stores.models.get_model("d") is None


async def test_an_imported_version_is_found_by_the_digest_of_its_source(stores: Stores) -> None:
    await stores.models.add_version(model_draft(source="5"))
    newest = await stores.models.add_version(model_draft(model_id="other", source="5"))
    assert await stores.models.find_imported(artifact("5").digest) == newest
    assert await stores.models.find_imported(artifact("6").digest) is None
    assert await stores.models.find_source(artifact("5").uri) == newest
    assert await stores.models.find_source(artifact("6").uri) is None


def claimed_uri(content: str) -> str:
    hex_digits = artifact(content).digest.removeprefix("sha256:")
    return f"file:///artifacts/blobs/{hex_digits[:2]}/{hex_digits}"


class Bytes:
    """What is deleted, in order; a deletion can be held up."""

    def __init__(self) -> None:
        self.deleted: list[str] = []
        self.begun, self.may_end = asyncio.Event(), asyncio.Event()
        self.may_end.set()

    async def delete(self, uri: str) -> None:
        self.begun.set()
        await self.may_end.wait()
        self.deleted.append(uri)


async def test_bytes_are_deleted_with_the_last_claim_unless_a_version_holds_them(stores: Stores) -> None:
    claims, places = stores.claims, Bytes()
    first, second, other = [await claims.add(claimed_uri(content)) for content in ("a", "a", "b")]
    await claims.end(first, places.delete)
    assert places.deleted == []
    await claims.end(second, places.delete)
    await claims.end(second, places.delete)
    assert places.deleted == [claimed_uri("a")]
    await stores.models.add_version(model_draft(content="b"))
    await claims.end(other, places.delete)
    assert places.deleted == [claimed_uri("a")]


async def test_a_claim_on_bytes_that_are_being_deleted_comes_after_them(stores: Stores) -> None:
    claims, places = stores.claims, Bytes()
    first = await claims.add(claimed_uri("a"))
    places.may_end.clear()
    ending = asyncio.create_task(claims.end(first, places.delete))
    await places.begun.wait()
    claiming = asyncio.create_task(claims.add(claimed_uri("a")))
    await asyncio.wait((claiming,), timeout=0.05)
    assert not claiming.done()
    places.may_end.set()
    await ending
    await claims.end(await claiming, places.delete)
    assert len(places.deleted) == 2


async def test_no_transaction_waits_for_a_deletion(stores: Stores) -> None:
    """PostgreSQL ends one in which nothing happens for long, and with it all that keeps others from the bytes."""
    connections: list[int] = []

    async def delete(_uri: str) -> None:
        connections.append(stores.database.engine.pool.checkedout())  # type: ignore[attr-defined]

    await stores.claims.end(await stores.claims.add(claimed_uri("a")), delete)
    assert connections == [0]


async def test_a_deletion_whose_holder_died_is_waited_for_no_longer_than_it_may_take(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(_uri: str) -> None:
        raise Unavailable("The process is killed.")

    first = await stores.claims.add(claimed_uri("a"))
    monkeypatch.setattr("services.registry.store.claims._DELETE_TIME", timedelta(seconds=-1))
    with pytest.raises(Unavailable):
        await stores.claims.end(first, dies)
    assert await stores.claims.expired() == [first]
    second, places = await stores.claims.add(claimed_uri("a")), Bytes()
    await stores.models.add_version(replace(model_draft(), artifact=artifact("a")))
    await stores.claims.end(second, places.delete)
    await stores.claims.end(first, places.delete)
    assert places.deleted == [] and await stores.claims.expired() == []


async def test_claims_of_holders_that_died_are_abandoned(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = await stores.claims.add(claimed_uri("a"))
    monkeypatch.setattr("services.registry.store.claims._CLAIM_TIME", timedelta(seconds=-1))
    old = await stores.claims.add(claimed_uri("b"))
    # SQLite has one process, and it asks before it claims anything.
    assert set(await stores.claims.abandoned()) == ({fresh, old} if stores.kind == "sqlite" else {old})
    assert await stores.claims.expired() == [old]


async def test_cases_are_paged_in_the_order_of_the_suite(stores: Stores) -> None:
    added = await stores.suites.add_version(suite_draft(), cases(5))
    first = await stores.suites.list_cases(added.version_id, PageRequest(3), max_bytes=10_000)
    rest = await stores.suites.list_cases(added.version_id, PageRequest(3, first.next_token), max_bytes=10_000)
    assert [*first.items, *rest.items] == cases(5)
    assert (len(first.items), rest.next_token) == (3, "")


async def test_a_page_of_cases_ends_when_its_bytes_are_enough(stores: Stores) -> None:
    added = await stores.suites.add_version(suite_draft(), cases(4))
    page = await stores.suites.list_cases(added.version_id, FIRST, max_bytes=12)
    assert [case.case_id for case in page.items] == ["case-0", "case-1"]
    rest = await stores.suites.list_cases(added.version_id, PageRequest(1000, page.next_token), max_bytes=10_000)
    assert [case.case_id for case in rest.items] == ["case-2", "case-3"]


async def test_a_caller_who_leaves_while_a_page_of_cases_is_read_leaves_no_error_in_the_log(
    stores: Stores, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(*_row: object) -> None:
        reading.cancel()

    added = await stores.suites.add_version(suite_draft(), cases(50))
    monkeypatch.setattr("services.registry.store.test_suites.item_of", leave)
    reading = asyncio.ensure_future(stores.suites.list_cases(added.version_id, FIRST, max_bytes=10_000))
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert [record.getMessage() for record in caplog.records if record.name.startswith("sqlalchemy")] == []


async def test_a_built_in_suite_keeps_the_number_it_ships_with(stores: Stores) -> None:
    await stores.suites.add_version(suite_draft("x", suite_id="roo_xml/core", built_in=True), cases(2), version=3)
    await stores.suites.add_version(suite_draft("y"), cases(2))
    with pytest.raises(AlreadyExists):
        await stores.suites.add_version(suite_draft("z", suite_id="roo_xml/core"), cases(2), version=3)
    built_in = await stores.suites.list_versions("", FIRST, built_in_only=True)
    assert [row.version_id for row in built_in.items] == ["roo_xml/core@3"]
    assert len((await stores.suites.list_versions("", FIRST)).items) == 2


async def test_what_is_known_of_a_suites_origin_is_kept(stores: Stores) -> None:
    known = Provenance("Apache-2.0", "freeze", "7", "3.36.16", "somewhere")
    draft = replace(suite_draft("x"), provenance=known, imported_from="bfcl sha256:1 sha256:2")
    added = await stores.suites.add_version(draft, cases(1))
    found = await stores.suites.get_version(VersionRef("roo_xml/mine", 1))
    assert found == added
    assert (added.provenance, added.imported_from) == (known, "bfcl sha256:1 sha256:2")


async def test_a_deleted_version_is_gone_with_its_cases_and_its_number(stores: Stores) -> None:
    first = await stores.suites.add_version(suite_draft(), cases(2))
    await stores.suites.delete_version(first)
    await stores.suites.delete_version(first)
    assert await stores.suites.get_version(VersionRef("roo_xml/mine", 1)) is None
    second = await stores.suites.add_version(suite_draft(), cases(1))
    assert second.version == 2
    assert len((await stores.suites.list_cases(second.version_id, FIRST, max_bytes=1000)).items) == 1
