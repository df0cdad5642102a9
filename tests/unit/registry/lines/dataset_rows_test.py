"""Rows of datasets: read as they were registered, counted once, and changed by rows that can be registered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.chassis.artifacts import ArtifactStore
from services.chassis.errors import AlreadyExists, InvalidArgument
from services.chassis.waiting import Places
from services.chassis.wire.paging import token_of
from services.registry.__main__ import MIGRATIONS
from services.registry.domain.dataset import DatasetVersionDraft
from services.registry.domain.paging import page_request
from services.registry.importers.rows.conversion import RowFiles
from services.registry.importers.workspace import Workspace
from services.registry.store.claims import SqlClaims
from services.registry.store.datasets import SqlDatasetStore
from services.registry.usecases import row_index
from services.registry.usecases.adoption import Adoption
from services.registry.usecases.dataset import DatasetUseCases
from services.registry.usecases.dataset_rows import DatasetRowUseCases
from tests.fakes.databases import new_database


def row(name: str, answer: str = "Hello.") -> dict[str, object]:
    messages = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": answer}]
    return {"example_id": name, "messages": messages}


@pytest.fixture
async def rows(tmp_path: Path) -> DatasetRowUseCases:
    """Rows over a registry that has `mine@1`, whose file begins with a byte order mark, as some editors write it."""
    database = new_database(MIGRATIONS)
    store = SqlDatasetStore(database)
    own = ArtifactStore((tmp_path / "own").as_uri(), sources=((tmp_path / "other").as_uri() + "/",))
    adoption = Adoption(own, SqlClaims(database))
    files = Places("files", num_running=1, num_waiting=1)
    row_files = RowFiles(Workspace(tmp_path / "work"))
    datasets = DatasetUseCases(store, own, adoption=adoption, files=files, row_files=row_files)
    content = "\ufeff" + "".join(json.dumps(row(name)) + "\n" for name in ("a", "b"))
    draft = DatasetVersionDraft(
        request_id="first",
        dataset_id="mine",
        artifact=await ArtifactStore((tmp_path / "other").as_uri()).put_bytes(content.encode()),
        produced_by="test",
        num_train_examples=0,
        num_validation_examples=0,
    )
    await datasets.create_version(draft)
    return DatasetRowUseCases(datasets, store, own, adoption=adoption)


async def names(rows: DatasetRowUseCases, version: str) -> list[str]:
    page = await rows.list_rows(version, {}, page_request(10, ""))
    return [stored.row.example_id for stored in page.items]


async def test_a_file_with_a_byte_order_mark_is_read_and_counted_once(rows: DatasetRowUseCases) -> None:
    assert await names(rows, "mine@1") == ["a", "b"]
    mix = await rows.mix("mine@1")
    assert [(part.name, part.num_rows) for part in mix.parts if part.respect == "split"] == [("train", 2)]
    assert await rows.mix("mine") == mix


async def test_rows_of_a_rare_name_are_found_page_by_page_without_reading_the_others(
    rows: DatasetRowUseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited = [json.dumps({**row(name), "reason": "rare"}) for name in ("a", "b")]
    await rows.revise("second", "mine@1", dropped=(), edited=edited)
    await rows.mix("mine@2")
    read: list[int] = []
    stored = row_index._stored

    def counted(line: int, content: bytes, end: int) -> row_index.StoredRow:
        read.append(line)
        return stored(line, content, end)

    monkeypatch.setattr(row_index, "_stored", counted)
    first = await rows.list_rows("mine@2", {"reason": "rare", "split": "train"}, page_request(1, ""))
    second = await rows.list_rows("mine@2", {"reason": "rare"}, page_request(1, first.next_token))
    assert [item.row.example_id for page in (first, second) for item in page.items] == ["a", "b"]
    assert first.next_token and not second.next_token
    assert (await rows.list_rows("mine@2", {"reason": "none"}, page_request(1, ""))).items == ()
    assert sorted(read) == [1, 2, 2]


@pytest.mark.parametrize("offset", [-1, 3, 10**6])
@pytest.mark.parametrize("names", [{}, {"split": "train"}])
async def test_a_page_token_that_no_list_gave_out_is_refused(
    rows: DatasetRowUseCases, offset: int, names: dict[str, str]
) -> None:
    with pytest.raises(InvalidArgument, match="not one that this list gave out"):
        await rows.list_rows("mine@1", names, page_request(1, token_of((offset, 1))))


async def test_rows_are_dropped_and_edited_into_a_version_that_is_made_once(rows: DatasetRowUseCases) -> None:
    edited = [json.dumps(row("b", "Bye."), indent=1)]
    versions = [await rows.revise("second", "mine@1", dropped=["a"], edited=edited) for _ in range(2)]
    assert [version.version_id for version in versions] == ["mine@2", "mine@2"]
    with pytest.raises(AlreadyExists, match="request_id was used before"):
        await rows.revise("second", "mine@1", dropped=["b"], edited=())
    page = await rows.list_rows("mine@2", {}, page_request(10, ""))
    assert [stored.row.messages[-1]["content"] for stored in page.items] == ["Bye."]


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (json.dumps(row("a", "x" * 1_100_000)), "longer than 1048576 bytes"),
        (json.dumps(row("a", "\ud83d")), "half of a surrogate pair"),
        (json.dumps(row("z")), "no row 'z'"),
        ('{"messages": []}', "has no messages"),
        ("nothing", "is not JSON"),
        (" ", "is empty"),
    ],
)
async def test_a_row_that_no_dataset_may_have_is_refused(rows: DatasetRowUseCases, document: str, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        await rows.revise("second", "mine@1", dropped=(), edited=[document])
