"""What nobody needs any more is told, and removed; what may be needed stays."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import fsspec
import pytest

from services.chassis.artifacts import ArtifactStore
from services.chassis.artifacts.garbage import ArtifactGarbage
from services.chassis.artifacts.store import open_folder
from services.chassis.errors import NotFound, Unavailable
from services.chassis.machine.garbage import MAX_ITEMS, Garbage, GarbageCollector, Place
from services.chassis.machine.secrets import names_of_secrets
from services.test_runner.settings import TestRunnerSettings
from tests.machine import PATIENCE_SECONDS

# Everything that was written by now is so old.
LONG = -1.0


@pytest.fixture(params=["local", "remote"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    name = f"/{uuid.uuid4().hex}"
    yield (tmp_path / "artifacts").as_uri() if request.param == "local" else f"memory:/{name}"
    memory = fsspec.filesystem("memory")
    if memory.exists(name):
        memory.rm(name, recursive=True)


async def later() -> float:
    return time.time() + 7200


async def earlier() -> float:
    return time.time() - 7200


def collector_of(*items: Garbage) -> GarbageCollector:
    async def source() -> AsyncIterator[Garbage]:
        for item in items:
            yield item

    collector = GarbageCollector("trainer", 24)
    collector.add(source)
    return collector


@pytest.mark.parametrize("password", ["hidden", "/hidden", "#hidden", "?hidden", "@hidden"])
async def test_a_service_says_where_it_keeps_its_things_and_no_password(
    password: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trainer" / "artifacts").mkdir(parents=True)
    (tmp_path / "trainer" / "artifacts" / "blob").write_bytes(b"12345")
    (tmp_path / "trainer" / "state.db").write_bytes(b"1")
    monkeypatch.setenv("TEST_RUNNER_ENDPOINT_KEY_HOSTS", '{"big-model": ["models.example.com"]}')
    database = f"postgresql+asyncpg://ann:{password}@db:5432/drillyard?password=hidden"
    monkeypatch.setenv("TEST_RUNNER_DATABASE_URL", database)
    settings = TestRunnerSettings(data_dir=tmp_path)
    shown = ("database_url", "gc_hours", *settings.shown)
    place = Place(
        "trainer", tmp_path / "trainer", settings.database_url, f"s3://key:{password}@bucket/a", settings, shown
    )
    (told,) = await GarbageCollector("trainer", 24, place).places()
    assert [(one.kind, one.size_bytes) for one in told.kinds] == [("artifacts", 5), ("database", 1)]
    assert told.free_bytes > 0 and "hidden" not in str(told)
    is_clear = password in ("hidden", "/hidden")
    assert told.database == "postgresql+asyncpg://" + ("db:5432/drillyard" if is_clear else "…")
    assert told.artifacts == "s3://" + ("bucket/a" if is_clear else "…")
    by_variable = {one.variable: one for one in told.settings}
    hosts = by_variable["TEST_RUNNER_ENDPOINT_KEY_HOSTS"]
    assert hosts.is_set and "models.example.com" in hosts.value and hosts.help
    assert by_variable["TEST_RUNNER_GC_HOURS"].value == "24.0" and not by_variable["TEST_RUNNER_GC_HOURS"].is_set


def test_secrets_are_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "big-model").write_text("sk-hidden")
    environment = {"TEST_RUNNER_SECRET_OTHER": "sk-hidden", "REGISTRY_SECRET_HOSTS": "{}", "OTHER": ""}
    assert names_of_secrets("TEST_RUNNER_", tmp_path, environment) == ("OTHER", "big-model")
    assert names_of_secrets("REGISTRY_", tmp_path / "none", environment) == ()


async def test_what_would_go_is_told_and_stays_until_it_is_removed() -> None:
    removed: list[str] = []

    async def remove(name: str) -> None:
        removed.append(name)

    async def fail() -> None:
        raise Unavailable("The store is away.")

    items = [Garbage("checkpoint", name, 5, "old", partial(remove, name)) for name in ("a", "b")]
    collector = collector_of(items[0], Garbage("cache", "stuck", 7, "unused", fail), items[1])
    told = await collector.collect(dry_run=True)
    assert [(item.service, item.kind, item.name, item.size_bytes, item.reason) for item in told] == [
        ("trainer", "checkpoint", "a", 5, "old"),
        ("trainer", "cache", "stuck", 7, "unused"),
        ("trainer", "checkpoint", "b", 5, "old"),
    ]
    assert removed == []
    assert [item.name for item in await collector.collect(dry_run=False)] == ["a", "b"] == removed


async def test_an_answer_is_bounded() -> None:
    async def remove() -> None: ...

    collector = collector_of(*[Garbage("event", str(number), 1, "old", remove) for number in range(MAX_ITEMS + 5)])
    assert len(await collector.collect(dry_run=True)) == MAX_ITEMS


async def test_a_service_collects_by_itself() -> None:
    is_removed = asyncio.Event()

    async def remove() -> None:
        is_removed.set()

    collector = collector_of(Garbage("event", "a", 1, "old", remove))
    collector.hours = 1e-6
    working = asyncio.create_task(collector.keep_collecting())
    await asyncio.wait_for(is_removed.wait(), PATIENCE_SECONDS)
    working.cancel()


async def test_artifacts_that_were_handed_over_go_unless_held_young_or_newer_than_a_job_at_work(
    root: str, tmp_path: Path
) -> None:
    store = ArtifactStore(root)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(b"12345")
    blob, tree, held = [
        await store.put_bytes(b"123"),
        await store.put_tree(tmp_path / "tree"),
        await store.put_bytes(b"held"),
    ]

    async def uris() -> set[str] | None:
        return {held.uri}

    async def unknown() -> set[str] | None:
        return None

    garbage = ArtifactGarbage(root, at_work_since=later)
    assert [item async for item in garbage.handed_over("artifact", 24, uris)] == []
    assert [item async for item in garbage.handed_over("artifact", LONG, unknown)] == []
    assert [item async for item in ArtifactGarbage(root, None, earlier).handed_over("artifact", LONG, uris)] == []
    old = [item async for item in garbage.handed_over("artifact", LONG, uris)]
    assert sorted(item.name for item in old) == sorted(each.digest[7:23] for each in (blob, tree))
    assert min(item.size_bytes for item in old) == 3
    for item in [*old, *old]:
        await item.remove()
    assert await store.read_bytes(held.uri) == b"held"
    for each in (blob, tree):
        with pytest.raises(NotFound):
            await store.local_path(each.uri)


def test_what_is_sent_to_a_remote_store_is_prepared_where_leftovers_are_seen(tmp_path: Path) -> None:
    with open_folder("memory:///anywhere", tmp_path).staging() as folder:
        assert folder.parent == tmp_path / "staging"


async def test_what_was_used_again_meanwhile_stays(tmp_path: Path) -> None:
    """Between the look and the deed a writer comes: the time is looked at once more."""
    store = ArtifactStore(tmp_path.as_uri())
    blob = await store.put_bytes(b"again")
    garbage = ArtifactGarbage(tmp_path.as_uri())
    await asyncio.sleep(0.05)
    (item,) = [item async for item in garbage.handed_over("artifact", 0.02 / 3600)]
    await store.put_bytes(b"again")
    await item.remove()
    assert await store.read_bytes(blob.uri) == b"again"


async def test_what_was_brought_here_and_not_used_goes_and_is_brought_again(tmp_path: Path) -> None:
    name = f"/{uuid.uuid4().hex}"
    owner = ArtifactStore(f"memory:/{name}")
    blob = await owner.put_bytes(b"weights")
    cache = tmp_path / "cache"
    user = ArtifactStore((tmp_path / "own").as_uri(), sources=(f"memory:/{name}",), cache_dir=cache)
    path = await user.local_path(blob.uri)
    garbage = ArtifactGarbage((tmp_path / "own").as_uri(), cache, later)
    assert [item async for item in garbage.unused(7)] == []
    (item,) = [item async for item in garbage.unused(LONG)]
    assert (item.kind, item.size_bytes) == ("cache", 7)
    await item.remove()
    assert not path.exists()
    assert (await user.local_path(blob.uri)).read_bytes() == b"weights"
    fsspec.filesystem("memory").rm(name, recursive=True)


@pytest.mark.parametrize("is_remote", [False, True])
async def test_what_killed_writers_left_goes_after_a_day(
    is_remote: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging = tmp_path / "staging" / "killed"
    staging.mkdir(parents=True)
    (staging / "blob").write_bytes(b"half")
    garbage = ArtifactGarbage(f"memory://{tmp_path}", tmp_path) if is_remote else ArtifactGarbage(tmp_path.as_uri())
    assert [item async for item in garbage.half_written()] == []
    monkeypatch.setattr("services.chassis.artifacts.garbage.ABANDONED_SECONDS", LONG)
    (item,) = [item async for item in garbage.half_written()]
    await item.remove()
    assert item.size_bytes == 4 and not staging.exists()
