"""What happens on a disk that fills up: a small one of memory."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.chassis.application import JOB_MIGRATIONS
from services.chassis.artifacts import ArtifactStore
from services.chassis.database import Database
from services.chassis.database.migration import migrate
from services.chassis.errors import ResourceExhausted
from services.chassis.jobs import SqlJobStore
from tests.machine import fill, small_disk

MEGABYTE = 1_000_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 4) as folder:
        yield folder


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


async def test_an_artifact_that_does_not_fit_leaves_nothing(disk: Path, tmp_path: Path) -> None:
    root = disk / "artifacts"
    store = ArtifactStore(root.as_uri(), sources=(tmp_path.as_uri(),))
    kept = await store.put_bytes(b"kept")
    before = files_below(root)
    model = tmp_path / "model"
    model.mkdir()
    for n in range(8):
        (model / f"{n}.safetensors").write_bytes(os.urandom(MEGABYTE))
    theirs = await ArtifactStore((tmp_path / "theirs").as_uri()).put_tree(model)
    for attempt in (
        store.put_bytes(bytes(8 * MEGABYTE)),
        store.put_tree(model),
        store.adopt(theirs.uri, theirs.digest, theirs.size_bytes),
    ):
        with pytest.raises(ResourceExhausted, match=str(root)):
            await attempt
        assert files_below(root) == before
    assert await store.read_bytes(kept.uri) == b"kept"
    await store.put_bytes(bytes(2 * MEGABYTE))


async def test_a_job_that_cannot_be_stored_is_refused_and_the_store_goes_on(disk: Path) -> None:
    database = Database.open(f"sqlite+aiosqlite:///{disk}/state.db")
    await migrate(database, JOB_MIGRATIONS)
    store = SqlJobStore(database)
    kept = await store.create("drill", "r1", {})
    filler = fill(disk)
    with pytest.raises(ResourceExhausted, match=str(disk)):
        for n in range(200):
            await store.create("drill", f"full{n}", {"text": "x" * 10_000})
    stored, _ = await store.list("drill", 200)
    assert stored[-1] == kept
    filler.unlink()
    fresh = await store.create("drill", "r2", {})
    assert (await store.get(fresh.job_id)) == fresh
    assert [event.sequence for event in await store.events(kept.job_id)] == [1]
    await database.close()
