"""What happens on a disk that fills up: a small one of memory."""

import asyncio
import os
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.chassis.application import JOB_MIGRATIONS
from services.chassis.artifacts import ArtifactStore
from services.chassis.database import Database
from services.chassis.database.migration import migrate
from services.chassis.errors import ResourceExhausted
from services.chassis.jobs import JobContext, JobRunner, JobState, Json, SqlJobStore
from tests.machine import PATIENCE_SECONDS, fill, small_disk

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


async def test_a_job_that_meets_a_full_disk_waits_for_room_and_ends_as_if_nothing_had_been(disk: Path) -> None:
    database = Database.open(f"sqlite+aiosqlite:///{disk}/state.db")
    await migrate(database, JOB_MIGRATIONS)
    store = SqlJobStore(database)
    text = "x" * 20_000

    async def work(ctx: JobContext) -> Json:
        fill(disk)
        await ctx.progress(done=1, message=text)
        await freed_once_it_waits("set_progress", ctx.event("unit", {"text": text}))
        while (await store.get(ctx.job.job_id)).progress.get("done") != 1:
            await asyncio.sleep(0.01)
        fill(disk)
        await freed_once_it_waits("save_checkpoint", ctx.checkpoint({"text": text}))
        fill(disk)
        return {"text": text}

    async def freed_once_it_waits(call: str, write: Coroutine[Any, Any, object]) -> None:
        writing = asyncio.create_task(write)
        await waits(call)
        (disk / "filler").unlink()
        await writing

    async def waits(call: str) -> None:
        while not any((r["event"], r.get("call")) == ("job_waits_for_database", call) for r in records):
            await asyncio.sleep(0.01)

    runner = JobRunner(store, owner="here", lease_seconds=60.0)
    runner.register("x", work)
    job_id = (await store.create("x", "r", {})).job_id
    with capture_logs() as records:
        await runner.start()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await waits("finish")
            (disk / "filler").unlink()
            while not (job := await store.get(job_id)).is_final:
                await asyncio.sleep(0.02)
    await runner.stop(5.0)
    await database.close()
    assert (job.state, job.attempt, job.saved, job.result) == (JobState.SUCCEEDED, 1, {"text": text}, {"text": text})
