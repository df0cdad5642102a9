"""Jobs whose attempts have a disk of their own: what they read and save are artifacts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from services.chassis.artifacts import ArtifactStore
from services.chassis.errors import NotFound
from services.chassis.jobs import JobState
from services.trainer.domain.attempt import AttemptOutcome, AttemptReport, PreemptedError
from services.trainer.domain.plan import AttemptPlan
from services.trainer.jobs.kept_checkpoints import kept_checkpoints
from services.trainer.jobs.training_job import TrainingLimits
from services.trainer.manifest import ADAPTER, OPTIMIZER, POSITION, place_for, write_manifest
from services.trainer.training.processes.artifacts import fetched, stored
from tests.unit.trainer.job_bench import SPEC, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path / "trainer", TrainingLimits(release_seconds=0.1))
    bench.backend.fetches_artifacts = True
    return bench


async def train_in_pod(bench: Bench, plan: AttemptPlan, *steps: int) -> None:
    """Be a pod: fetch what the plan names, and put each checkpoint into the store before it is reported."""
    pod = bench.folder.parent / f"pod-{plan.attempt}"
    folders = {"checkpoint_folder": str(pod / "checkpoints"), "scratch_folder": str(pod)}
    plan = replace(plan, artifacts_url=(bench.folder / "artifacts").as_uri(), **folders)
    here = await asyncio.to_thread(fetched, plan)
    needed = [f"{here.base_folder}/config.json", *([f"{here.resume_from}/{OPTIMIZER}"] if plan.resume_from else [])]
    assert await asyncio.to_thread(lambda: all(Path(path).is_file() for path in needed))
    for step in steps:
        folder = place_for(pod / "checkpoints", step, plan.attempt)
        (folder / ADAPTER).mkdir(parents=True)
        for name in (f"{ADAPTER}/adapter_model.safetensors", OPTIMIZER, POSITION):
            (folder / name).write_text(f"{step} by {plan.attempt}")
        saved = write_manifest(folder, step=step, attempt=plan.attempt, config_digest=plan.config_digest)
        saved = await asyncio.to_thread(stored, plan, saved)
        await bench.report(plan, step)
        await bench.usecases.report(AttemptReport(plan.training_job_id, plan.attempt, plan.epoch, checkpoints=(saved,)))


async def outcome(bench: Bench, job_id: str) -> tuple[JobState, object]:
    job = await bench.finish(job_id)
    return job.state, job.error


async def train_to_the_end(bench: Bench, plan: AttemptPlan) -> None:
    await train_in_pod(bench, plan, 30)
    await bench.report(plan, 30, AttemptOutcome.SUCCEEDED)


def preempted(plan: AttemptPlan) -> None:
    raise PreemptedError("The queue took the place of the attempt back.")


def test_a_pause_and_a_resume_go_by_artifacts_alone(bench: Bench) -> None:
    async def pause(plan: AttemptPlan) -> None:
        await train_in_pod(bench, plan, 10)
        await bench.usecases.resource.pause(plan.training_job_id)
        while not await bench.report(plan, 12):
            await asyncio.sleep(0.01)
        await train_in_pod(bench, plan, 14)
        await bench.report(plan, 14, AttemptOutcome.STOPPED)

    async def scenario() -> None:
        bench.backend.script = [(pause, None), (partial(train_to_the_end, bench), None)]
        job_id = (await bench.usecases.create("r", SPEC)).training_job_id
        assert (await bench.finish(job_id, JobState.PAUSED)).state is JobState.PAUSED
        await bench.usecases.resource.resume(job_id)
        job = await bench.finish(job_id)
        assert (job.state, job.result) == (JobState.SUCCEEDED, {"model_version_id": "tiny@2", "step": 30})
        first, second = bench.backend.plans
        kept = {item.step: item.uri for item in kept_checkpoints(job.saved)}
        assert (first.resume_from, second.resume_from) == ("", kept[14])
        assert first.base_folder == bench.registry.inputs.base.uri
        assert [item.start_step for item in (await bench.usecases.resource.get(job_id)).attempts] == [0, 14]
        # A deleted checkpoint goes from the disk too, whatever its artifact is called.
        checkpoints = await bench.store.list_checkpoints(job_id)
        (oldest,) = [item for item in checkpoints if item.step == 14]
        await bench.to.inputs.checkpoints.delete(job, oldest)
        assert not place_for(bench.checkpoints.folder(job_id), 14, oldest.attempt).exists()
        with pytest.raises(NotFound):
            await ArtifactStore((bench.folder / "artifacts").as_uri()).local_path(oldest.uri)

    asyncio.run(scenario())


def test_preempted_attempts_are_no_failures_however_many_there_are(bench: Bench) -> None:
    async def scenario() -> None:
        bench.backend.script = [*([(preempted, None)] * 5), (partial(train_to_the_end, bench), None)]
        job_id = (await bench.usecases.create("r", SPEC)).training_job_id
        assert await outcome(bench, job_id) == (JobState.SUCCEEDED, None)
        outcomes = [item.outcome for item in (await bench.usecases.resource.get(job_id)).attempts]
        assert outcomes == [*([AttemptOutcome.STOPPED] * 5), AttemptOutcome.SUCCEEDED]

    asyncio.run(scenario())


def test_an_attempt_that_waits_for_a_place_says_so_and_does_not_stand_still(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "trainer", TrainingLimits(release_seconds=0.1, stall_seconds=1.0))
    bench.backend.fetches_artifacts = True

    async def wait(plan: AttemptPlan) -> None:
        bench.backend.waits_for = "Unschedulable: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
        await asyncio.sleep(2)
        shown = (await bench.jobs.get(plan.training_job_id)).progress["message"]
        assert shown == bench.backend.waits_for
        await train_to_the_end(bench, plan)

    async def scenario() -> None:
        bench.backend.script = [(wait, None)]
        job_id = (await bench.usecases.create("r", SPEC)).training_job_id
        assert await outcome(bench, job_id) == (JobState.SUCCEEDED, None)

    asyncio.run(scenario())


def test_a_job_goes_on_in_the_cluster_from_what_was_saved_on_this_machine(bench: Bench) -> None:
    async def pause(plan: AttemptPlan) -> None:
        await bench.train_to(plan, 5, ends=False)
        await bench.usecases.resource.pause(plan.training_job_id)
        await bench.train_until_stopped(plan, 7)

    async def scenario() -> None:
        bench.backend.fetches_artifacts = False
        bench.backend.script = [(pause, None), (partial(train_to_the_end, bench), None)]
        job_id = (await bench.usecases.create("r", SPEC)).training_job_id
        await bench.finish(job_id, JobState.PAUSED)
        bench.backend.fetches_artifacts = True
        await bench.usecases.resource.resume(job_id)
        assert await outcome(bench, job_id) == (JobState.SUCCEEDED, None)
        assert "/trees/" in bench.backend.plans[1].resume_from

    asyncio.run(scenario())
