"""What a publication does: into a folder, which appears whole or not at all."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.json
import pyarrow.parquet as pq
import pytest
import yaml

from services.chassis.artifacts import ArtifactStore
from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied, Unimplemented
from services.chassis.jobs import JobState
from services.registry.domain.dataset import DatasetFileForm, DatasetVersionDraft
from services.registry.domain.publication import Destination, Package, PublicationSpec
from services.registry.jobs.publishers.folder import FolderPublisher
from tests.unit.registry.exports.shipping_registry import PLACE, ShippingRegistry, shipping_registry
from tests.unit.registry.model_folders import write_adapter


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[ShippingRegistry]:
    async with shipping_registry(tmp_path) as registry:
        (tmp_path / "out").mkdir()
        yield registry


async def test_a_version_appears_in_a_new_folder(registry: ShippingRegistry, tmp_path: Path) -> None:
    job = await registry.publish("tuned", tmp_path / "out" / "roo")
    assert job.result == {"location": str(tmp_path / "out" / "roo")}
    names = ["adapter_config.json", "adapter_model.safetensors"]
    assert sorted(path.name for path in (tmp_path / "out" / "roo").iterdir()) == names
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["roo"]


async def test_the_published_card_says_what_was_measured_of_the_form(
    registry: ShippingRegistry, tmp_path: Path
) -> None:
    exported = (await registry.export("tuned")).result or {}
    for place in ("roo", "roo"):
        job = await registry.publish(
            exported["model_version_id"], tmp_path / "out" / place, card="Nine of ten conform."
        )
        assert job.state is JobState.SUCCEEDED, job.error
    text = (tmp_path / "out" / "roo" / "README.md").read_text()
    assert "## Tested as it is served\n\nNine of ten conform.\n\n## Use\n" in text
    assert (tmp_path / "out" / "roo" / "model.gguf").is_file()
    assert registry.leftovers() == []
    # An adapter as training leaves it has no card.
    await registry.publish("tuned", tmp_path / "out" / "bare", card="Nine of ten conform.")
    assert not (tmp_path / "out" / "bare" / "README.md").exists()


async def test_a_publication_that_is_repeated_changes_nothing(registry: ShippingRegistry, tmp_path: Path) -> None:
    await registry.publish("tuned", tmp_path / "out" / "roo")
    stamp = (tmp_path / "out" / "roo").stat().st_ino
    assert (await registry.publish("tuned", tmp_path / "out" / "roo")).state is JobState.SUCCEEDED
    assert (tmp_path / "out" / "roo").stat().st_ino == stamp


async def test_a_folder_with_something_else_is_left_alone(registry: ShippingRegistry, tmp_path: Path) -> None:
    (tmp_path / "out" / "roo").mkdir()
    (tmp_path / "out" / "roo" / "mine.txt").write_text("mine")
    job = await registry.publish("tuned", tmp_path / "out" / "roo")
    assert job.error is not None and job.error.code == "ALREADY_EXISTS"
    assert [path.name for path in (tmp_path / "out" / "roo").iterdir()] == ["mine.txt"]


async def _dataset(registry: ShippingRegistry) -> None:
    path = registry.root / "rows.jsonl"
    chat = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]
    call = {"id": "c1", "type": "function", "function": {"name": "read", "arguments": "{}"}}
    rows = [
        {"example_id": "1", "messages": chat, "reason": "correction"},
        {"example_id": "2", "split": "validation", "messages": [chat[0], {"role": "assistant", "tool_calls": [call]}]},
        {"example_id": "3", "messages": chat, "rejected": {"role": "assistant", "content": "Bye."}},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    sent = await ArtifactStore((registry.root / "other" / "sent").as_uri()).put_file(path)
    counts = {"num_train_examples": 0, "num_validation_examples": 0}
    draft = DatasetVersionDraft(request_id="", dataset_id="mine", artifact=sent, produced_by="upload", **counts)
    await registry.datasets.create_version(draft)


@pytest.mark.parametrize("form", DatasetFileForm)
async def test_a_dataset_appears_with_its_splits_and_a_card_that_loaders_read(
    registry: ShippingRegistry, tmp_path: Path, form: DatasetFileForm
) -> None:
    await _dataset(registry)
    place = tmp_path / "out" / "mine"
    words = {"dataset_version_id": "mine", "dataset_form": form}
    for _ in range(2):
        job = await registry.publish("", place, **words)
        assert (job.state, job.result) == (JobState.SUCCEEDED, {"location": str(place)})
    ending = "parquet" if form is DatasetFileForm.PARQUET else "jsonl"
    assert {path.name for path in (place / "data").iterdir()} == {f"train.{ending}", f"validation.{ending}"}
    head = yaml.safe_load((place / "README.md").read_text().split("---")[1])
    files = {each["split"]: place / each["path"] for each in head["configs"][0]["data_files"]}
    read = pq.read_table if form is DatasetFileForm.PARQUET else pyarrow.json.read_json
    assert {split: read(path).num_rows for split, path in files.items()} == {"train": 2, "validation": 1}
    assert "| `correction` | 1 |" in (place / "README.md").read_text() and not registry.leftovers()


async def test_what_is_published_is_one_version_and_a_dataset_goes_where_datasets_go(
    registry: ShippingRegistry, tmp_path: Path
) -> None:
    await _dataset(registry)
    place = replace(PLACE, folder_path=str(tmp_path / "out" / "mine"))
    for spec, words in (
        (PublicationSpec("", place), "one version"),
        (PublicationSpec("tuned", place, "mine"), "one version"),
        (PublicationSpec("", replace(PLACE, ollama_name="mine"), "mine"), "to a folder or to a hub"),
    ):
        with pytest.raises(InvalidArgument, match=words):
            await registry.publications.create("", spec)
    with pytest.raises(NotFound, match="no dataset version"):
        await registry.publications.create("", PublicationSpec("", place, "nobody"))


async def test_a_cancelled_publication_leaves_nothing(registry: ShippingRegistry, tmp_path: Path) -> None:
    registry.sending.is_open.clear()
    running = asyncio.create_task(registry.publish("tuned", tmp_path / "out" / "roo"))
    await registry.sending.entered.wait()
    (publication,), _ = await registry.publications.resource.list(10)
    with pytest.raises(FailedPrecondition, match=r"tuned@1 is used by the publication \w+"):
        await registry.use_cases.delete_version("tuned@1")
    await registry.publications.resource.cancel(publication.job.job_id)
    assert (await running).state is JobState.CANCELLED
    assert list((tmp_path / "out").iterdir()) == []


async def test_what_a_killed_process_copied_is_gone_after_the_next(
    registry: ShippingRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.sending.is_open.clear()
    running = asyncio.create_task(registry.publish("tuned", tmp_path / "out" / "roo"))
    await registry.sending.entered.wait()
    (publication,), _ = await registry.publications.resource.list(10)
    await registry.runner.stop(5.0)
    killed = tmp_path / "out" / f".roo.{publication.job.job_id}.partial"
    killed.mkdir()
    (killed / "half").write_text("x")
    registry.sending.is_open.set()
    await registry.runner.start()
    assert (await running).state is JobState.SUCCEEDED
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["roo"]
    killed.mkdir()
    await FolderPublisher().clean_up(publication)
    assert not killed.exists()
    forbid_listing(monkeypatch)
    await FolderPublisher().clean_up(publication)


def forbid_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no folder be listed, whoever the tests run as."""

    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refuse)


async def test_a_parent_that_may_not_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    package = package_of(tmp_path)
    forbid_listing(monkeypatch)
    with pytest.raises(PermissionDenied, match=f"may not read and write '{tmp_path / 'out'}'"):
        await FolderPublisher().publish(package, no_progress)


async def test_what_a_killed_process_copied_is_gone_where_another_publication_came_first(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    package = package_of(tmp_path)
    (tmp_path / "out" / ".roo.p.partial").mkdir()
    await FolderPublisher().publish(replace(package, publication_id="another"), no_progress)
    await FolderPublisher().publish(package, no_progress)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["roo"]


async def test_a_folder_that_another_publication_makes_meanwhile_is_this_one_s_too(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    package = package_of(tmp_path)

    async def overtaken(done: int, total: int) -> None:
        if done == total:
            await FolderPublisher().publish(replace(package, publication_id="another"), no_progress)

    assert await FolderPublisher().publish(package, overtaken) == str(tmp_path / "out" / "roo")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["roo"]


async def test_a_holder_that_lost_the_job_takes_nothing_from_the_next_one(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    package = package_of(tmp_path)
    begun, never = asyncio.Event(), asyncio.Event()

    async def frozen(done: int, total: int) -> None:
        begun.set()
        await never.wait()

    lost = asyncio.create_task(FolderPublisher().publish(package, frozen))
    await begun.wait()

    async def wakes(done: int, total: int) -> None:
        if done == total:
            lost.cancel()
            await asyncio.wait({lost})

    assert await FolderPublisher().publish(package, wakes) == str(tmp_path / "out" / "roo")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["roo"]


def package_of(tmp_path: Path) -> Package:
    return Package("p", "tuned@1", 1, write_adapter(tmp_path / "files"), _folder(tmp_path / "out" / "roo"))


async def no_progress(done: int, total: int) -> None:
    """Tell nobody."""


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({}, InvalidArgument, "names no place"),
        ({"folder_path": "relative"}, InvalidArgument, "not an absolute path"),
        ({"folder_path": "/nowhere/at/all"}, InvalidArgument, "no folder '/nowhere/at'"),
        ({"folder_path": "/tmp/x", "replace": True}, InvalidArgument, "never replaced"),
        ({"hub_id": "owner/name"}, Unimplemented, "hub_id"),
    ],
)
async def test_a_place_that_cannot_be_is_refused_at_once(
    registry: ShippingRegistry, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        await registry.publications.create("", PublicationSpec("tuned", replace(PLACE, **changes)))


async def test_a_version_that_is_not_there_is_not_published(registry: ShippingRegistry, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        await registry.publish("nobody", tmp_path / "out" / "roo")


def test_a_place_outside_the_allowed_folders_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    publisher = FolderPublisher((tmp_path / "in",))
    publisher.check(_folder(tmp_path / "in" / "roo"))
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    for place in (tmp_path / "roo", tmp_path / "in" / "link" / "roo", tmp_path / "in" / ".." / "roo"):
        with pytest.raises(InvalidArgument):
            publisher.check(_folder(place))


def _folder(place: Path) -> Destination:
    return replace(PLACE, folder_path=str(place))
