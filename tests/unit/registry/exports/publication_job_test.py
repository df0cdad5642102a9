"""What a publication does: into a folder, which appears whole or not at all."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound, Unimplemented
from services.chassis.jobs import JobState
from services.registry.domain.publication import Destination, PublicationSpec
from services.registry.jobs.publishers.folder import FolderPublisher
from tests.unit.registry.exports.shipping_registry import PLACE, ShippingRegistry, shipping_registry


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


async def test_what_a_killed_process_copied_is_gone_after_the_next(registry: ShippingRegistry, tmp_path: Path) -> None:
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
