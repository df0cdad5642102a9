"""Checkpoints outlive the machine that made them: they are in the artifact store, and the job's row names them."""

from __future__ import annotations

import asyncio
import errno
import shutil
import uuid
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest

from services.chassis.artifacts import Artifact, ArtifactStore
from services.chassis.errors import FailedPrecondition, NotFound
from services.chassis.jobs import JobState
from services.trainer.domain.attempt import AttemptReport, CurvePoint
from services.trainer.domain.plan import AttemptPlan
from services.trainer.jobs.kept_checkpoints import path_of
from tests.machine import PATIENCE_SECONDS
from tests.unit.trainer.job_bench import SPEC, Bench


@pytest.fixture
def pods(tmp_path: Path) -> Iterator[tuple[Bench, Bench, str]]:
    """Two machines that share nothing but the database and the artifact store."""
    name = f"/{uuid.uuid4().hex}"
    url = f"memory:/{name}"
    first = Bench(tmp_path / "pod-1", artifacts_url=url)
    yield first, Bench(tmp_path / "pod-2", artifacts_url=url, database=first.database), name
    memory = fsspec.filesystem("memory")
    if memory.exists(name):
        memory.rm(name, recursive=True)


async def kept_steps(bench: Bench, job_id: str) -> list[int]:
    saved = (await bench.jobs.get(job_id)).saved or {}
    return [item["step"] for item in saved.get("checkpoints", ())]


async def run_until_kept(bench: Bench, job_id: str, step: int) -> None:
    """Work on the job until a step is kept; then the machine is gone, with all that was on its disk."""
    working = asyncio.create_task(bench.finish(job_id))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while step not in await kept_steps(bench, job_id):
            await asyncio.sleep(0.02)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    shutil.rmtree(bench.folder / "checkpoints")


def damage(name: str, step: int, uri: str) -> None:
    fs, path = fsspec.core.url_to_fs(f"{uri}/files/adapter/adapter_model.safetensors")
    assert fs.cat_file(path).startswith(b"%d by" % step)
    fs.pipe_file(path, b"%d by 9" % step)


@pytest.mark.parametrize(("is_damaged", "start"), [(False, 20), (True, 10)])
def test_another_machine_goes_on_from_the_last_checkpoint_that_verifies(
    pods: tuple[Bench, Bench, str], is_damaged: bool, start: int
) -> None:
    first, second, name = pods

    async def scenario() -> None:
        first.backend.script = [(lambda plan: first.train_to(plan, 10, 20, ends=False), None)]
        job_id = (await first.usecases.create("r", SPEC)).job.job_id
        await run_until_kept(first, job_id, 20)
        if is_damaged:
            kept = ((await first.jobs.get(job_id)).saved or {})["checkpoints"][0]
            damage(name, 20, kept["uri"])
        second.backend.script = [(lambda plan: second.train_to(plan, 30), None)]
        assert (await second.finish(job_id)).state is JobState.SUCCEEDED
        (plan,) = second.backend.plans
        assert plan.resume_from == f"{second.folder}/checkpoints/{job_id}/step-000000{start}-attempt-001"
        messages = [str(item["text"]) for item in await second.events(job_id, "message")]
        assert any("step 20 was dropped" in text for text in messages) is is_damaged

    asyncio.run(scenario())


def test_a_finished_training_whose_machine_was_lost_is_registered_without_training_again(
    pods: tuple[Bench, Bench, str],
) -> None:
    first, second, _ = pods

    async def scenario() -> None:
        first.registry.away = 1 << 30
        first.backend.script = [(lambda plan: first.train_to(plan, 30), None)]
        job_id = (await first.usecases.create("r", SPEC)).job.job_id
        working = asyncio.create_task(first.finish(job_id))
        async with aclosing(first.usecases.resource.watch(job_id, 0)) as events:
            async for event in events:
                if event.type == "attempt_end":
                    break
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        shutil.rmtree(first.folder / "checkpoints")
        assert (await second.finish(job_id)).state is JobState.SUCCEEDED
        assert second.backend.plans == [] and list(second.registry.registered) == [f"{job_id}/result"]

    asyncio.run(scenario())


def test_the_last_checkpoints_and_the_best_one_are_kept_and_no_other_bytes(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "pod")

    async def trains(plan: AttemptPlan) -> None:
        for step, adherence in ((10, 0.5), (20, 0.9), (30, 0.7), (40, 0.8)):
            await bench.train_to(plan, step, ends=False)
            point = CurvePoint("adherence", step, adherence, plan.attempt)
            await bench.usecases.report(
                AttemptReport(plan.training_job_id, plan.attempt, plan.epoch, curve_points=(point,))
            )
            while (await kept_steps(bench, plan.training_job_id))[:1] != [step]:
                await asyncio.sleep(0.02)
        await bench.train_to(plan, 50)

    async def scenario() -> None:
        bench.backend.script = [(trains, None)]
        job_id = (await bench.usecases.create("r", replace(SPEC, save_total_limit=2))).job.job_id
        assert (await bench.finish(job_id)).state is JobState.SUCCEEDED
        assert await kept_steps(bench, job_id) == [50, 40, 20]
        # Beside them, the adapter that was registered.
        assert len(list((bench.folder / "artifacts").glob("trees/*/*"))) == 3 + 1

    asyncio.run(scenario())


def test_a_deleted_job_takes_its_checkpoints_along_and_no_other_jobs(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "pod")

    async def scenario() -> None:
        bench.backend.script = [(lambda plan: bench.train_to(plan, 10), None)] * 2
        ids = [(await bench.usecases.create(request_id, SPEC)).job.job_id for request_id in ("a", "b")]
        with pytest.raises(FailedPrecondition, match="Cancel it first"):
            await bench.usecases.resource.delete(ids[0])
        for job_id in ids:
            assert (await bench.finish(job_id)).state is JobState.SUCCEEDED
        kept = [((await bench.jobs.get(job_id)).saved or {})["checkpoints"][0]["uri"] for job_id in ids]
        await bench.usecases.resource.delete(ids[0])
        with pytest.raises(NotFound):
            await bench.usecases.resource.get(ids[0])
        assert [bench.checkpoints.folder(job_id).exists() for job_id in ids] == [False, True]
        assert [path_of(uri).exists() for uri in kept] == [False, True]
        assert bench.backend.cleared[-1] == ids[0]
        for job_id, num in zip(ids, (0, 1), strict=True):
            assert len(await bench.store.list_checkpoints(job_id)) == num
            assert len((await bench.store.list_attempts([job_id]))[job_id]) == num

    asyncio.run(scenario())


def test_a_checkpoint_that_cannot_be_kept_ends_no_training_and_hinders_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, put_tree = Bench(tmp_path / "pod"), ArtifactStore.put_tree

    async def fails_once(store: ArtifactStore, folder: Path, *, linked: bool = False) -> Artifact:
        if folder.name.startswith("step-00000010"):
            raise OSError(errno.EIO, "the disk is broken")
        return await put_tree(store, folder, linked=linked)

    async def scenario() -> None:
        monkeypatch.setattr(ArtifactStore, "put_tree", fails_once)
        bench.backend.script = [(lambda plan: bench.train_to(plan, 10, 20), None)]
        job_id = (await bench.usecases.create("r", SPEC)).job.job_id
        assert (await bench.finish(job_id)).state is JobState.SUCCEEDED
        assert await kept_steps(bench, job_id) == [20]
        assert any("step 10 cannot be kept" in str(item["text"]) for item in await bench.events(job_id, "message"))

    asyncio.run(scenario())
