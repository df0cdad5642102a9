"""Forks begin with a checkpoint of their own, and checkpoints are looked at and deleted without harm to any job."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound
from services.chassis.jobs import Job, JobState
from services.trainer.domain.attempt import AttemptOutcome, AttemptReport, CurvePoint
from services.trainer.domain.plan import AttemptPlan
from services.trainer.domain.spec import CheckpointRef, TrainedWeights, TrainingJobSpec
from services.trainer.jobs.kept_checkpoints import kept_checkpoints, path_of
from services.trainer.manifest import ADAPTER, OPTIMIZER, POSITION, places
from tests.unit.trainer.job_bench import SPEC, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "pod")


def fork_of(job_id: str, step: int = 0) -> TrainingJobSpec:
    return replace(SPEC, fork=CheckpointRef(job_id, step), learning_rate=1e-4)


async def train(bench: Bench, *steps: int, ends: bool = True, exit_code: int | None = None) -> str:
    """Return a job that has saved `steps`."""
    bench.backend.script = [(lambda plan: bench.train_to(plan, *steps, ends=ends), exit_code)]
    job_id = (await bench.usecases.create("source", SPEC)).training_job_id
    await bench.finish(job_id)
    return job_id


def texts_below(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


async def finish_fork(bench: Bench, job_id: str) -> tuple[Job, dict[str, str]]:
    """Finish a fork; returns it with the files that its first attempt began with."""
    files: dict[str, str] = {}

    async def trains(plan: AttemptPlan) -> None:
        files.update(texts_below(Path(plan.resume_from)))
        await bench.train_to(plan, 5)

    bench.backend.script = [(trains, None)]
    return await bench.finish(job_id), files


def test_a_fork_begins_at_step_0_with_weights_and_optimizer_and_outlives_its_source(bench: Bench) -> None:
    async def scenario() -> None:
        source = await train(bench, 10, 20)
        created = await bench.usecases.create("fork", fork_of(source, 10))
        again = await bench.usecases.create("fork", fork_of(source, 10))
        assert created.training_job_id == again.training_job_id and created.spec.fork == CheckpointRef(source, 10)
        await bench.usecases.delete_checkpoint(source, 10)
        await bench.usecases.resource.delete(source)
        job, files = await finish_fork(bench, created.training_job_id)
        assert job.state is JobState.SUCCEEDED
        assert files[f"{ADAPTER}/adapter_model.safetensors"] == "10 by 1" and files[OPTIMIZER] == "moments of 10 by 1"
        assert json.loads(files[POSITION]) == {"step": 0, "dtype": "float32"}
        assert [item.start_step for item in (await bench.usecases.resource.get(job.job_id)).attempts] == [0]

    asyncio.run(scenario())


async def _ended(bench: Bench) -> str:
    return await train(bench, 10, 20)


async def _failed(bench: Bench) -> str:
    async def fails(plan: AttemptPlan) -> None:
        await bench.train_to(plan, 10, 20, ends=False)
        await bench.report(plan, 21, AttemptOutcome.FAILED, reason="Bad row.", is_permanent="yes")

    bench.backend.script = [(fails, None)]
    job_id = (await bench.usecases.create("source", SPEC)).training_job_id
    assert (await bench.finish(job_id)).state is JobState.FAILED
    return job_id


async def _paused(bench: Bench) -> str:
    async def trains(plan: AttemptPlan) -> None:
        await bench.train_to(plan, 10, ends=False)
        await bench.jobs.request_pause(plan.training_job_id)
        await bench.train_until_stopped(plan, 20)

    bench.backend.script = [(trains, None)]
    job_id = (await bench.usecases.create("source", SPEC)).training_job_id
    await bench.finish(job_id, JobState.PAUSED)
    return job_id


async def _cancelled(bench: Bench) -> str:
    await bench.jobs.request_cancel(job_id := await _paused(bench))
    return job_id


@pytest.mark.parametrize("source", [_ended, _failed, _paused, _cancelled])
def test_a_job_in_any_state_can_be_forked(bench: Bench, source: Callable[[Bench], Awaitable[str]]) -> None:
    async def scenario() -> None:
        fork = await bench.usecases.create("fork", fork_of(await source(bench)))
        assert fork.spec.fork.step == 20
        job, files = await finish_fork(bench, fork.training_job_id)
        assert job.state is JobState.SUCCEEDED and files[f"{ADAPTER}/adapter_model.safetensors"] == "20 by 1"

    asyncio.run(scenario())


def test_a_job_at_work_is_forked_while_it_goes_on_and_prunes(bench: Bench) -> None:
    forks: list[str] = []

    async def trains(plan: AttemptPlan) -> None:
        await bench.train_to(plan, 10, ends=False)
        forks.append((await bench.usecases.create("fork", fork_of(plan.training_job_id))).training_job_id)
        await bench.train_to(plan, 20, 30, 40)

    async def scenario() -> None:
        bench.backend.script = [(trains, None), (lambda plan: bench.train_to(plan, 5), None)]
        source = (await bench.usecases.create("source", SPEC)).training_job_id
        await bench.finish(source)
        job = await bench.finish(forks[0])
        assert job.state is JobState.SUCCEEDED
        assert "step-00000000-attempt-000" in bench.backend.plans[1].resume_from

    asyncio.run(scenario())


def test_a_fork_whose_later_checkpoints_are_damaged_goes_back_to_where_it_began_not_to_new_weights(
    bench: Bench,
) -> None:
    async def damages(plan: AttemptPlan) -> None:
        await bench.train_to(plan, 5, 6, 7, ends=False)
        # The copies that are kept are links to these.
        for place in places(Path(plan.checkpoint_folder))[:3]:
            (place.path / OPTIMIZER).chmod(0o644)
            (place.path / OPTIMIZER).write_text("")

    async def scenario() -> None:
        source = await train(bench, 10)
        job_id = (await bench.usecases.create("fork", fork_of(source))).training_job_id
        bench.backend.script = [(damages, 1), (lambda plan: bench.train_to(plan, 30), None)]
        assert (await bench.finish(job_id)).state is JobState.SUCCEEDED
        assert bench.backend.plans[-1].resume_from.endswith("step-00000000-attempt-000")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"fork": CheckpointRef("train-none", 0)}, NotFound, "no training job 'train-none' to fork"),
        ({"fork": CheckpointRef("", 11)}, NotFound, "no checkpoint of step 11.*those of steps 10, 20"),
        ({"lora": replace(SPEC.lora, r=4)}, InvalidArgument, "lora.r is 4, that job's 16"),
        ({"lora": replace(SPEC.lora, target_modules=("q_proj",))}, InvalidArgument, "q_proj, that job's empty"),
        ({"trained_weights": TrainedWeights.FULL}, InvalidArgument, "trained_weights is full, that job's lora"),
    ],
)
def test_a_fork_that_does_not_fit_is_refused_at_once(
    bench: Bench, change: dict[str, object], error: type[Exception], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TrainingJobSpec, "check", lambda spec: None)

    async def scenario() -> None:
        source = await train(bench, 10, 20)
        spec = replace(fork_of(source), **change)  # type: ignore[arg-type]
        if not spec.fork.training_job_id:
            spec = replace(spec, fork=CheckpointRef(source, spec.fork.step))
        with pytest.raises(error, match=words):
            await bench.usecases.create("fork", spec)
        assert len((await bench.usecases.resource.list())[0]) == 1

    asyncio.run(scenario())


def test_a_checkpoint_is_shown_with_its_score_and_its_files(bench: Bench) -> None:
    async def trains(plan: AttemptPlan) -> None:
        await bench.save(plan, 10)
        point = CurvePoint("adherence", 10, 0.5, plan.attempt)
        await bench.usecases.report(
            AttemptReport(plan.training_job_id, plan.attempt, plan.epoch, curve_points=(point,))
        )
        await bench.train_to(plan, 20)

    async def scenario() -> None:
        bench.backend.script = [(trains, None)]
        job_id = (await bench.usecases.create("r", SPEC)).training_job_id
        await bench.finish(job_id)
        checkpoint, files = await bench.usecases.get_checkpoint(job_id, 10)
        assert (checkpoint.step, checkpoint.score) == (10, 0.5)
        assert [item.path for item in files] == [f"{ADAPTER}/adapter_model.safetensors", OPTIMIZER, POSITION]
        assert sum(item.size_bytes for item in files) == checkpoint.size_bytes
        assert (await bench.usecases.get_checkpoint(job_id, 20))[0].score is None
        with pytest.raises(NotFound, match="steps 10, 20"):
            await bench.usecases.get_checkpoint(job_id, 11)

    asyncio.run(scenario())


def test_a_checkpoint_that_a_job_needs_is_not_deleted_and_another_is_gone_everywhere(bench: Bench) -> None:
    refused: list[str] = []

    async def trains(plan: AttemptPlan) -> None:
        await bench.train_to(plan, 10, 20, ends=False)
        with pytest.raises(FailedPrecondition) as error:
            await bench.usecases.delete_checkpoint(plan.training_job_id, 20)
        refused.append(error.value.problem)
        await bench.train_to(plan, 30)

    async def scenario() -> None:
        bench.backend.script = [(trains, None)]
        job_id = (await bench.usecases.create("r", replace(SPEC, save_total_limit=9))).training_job_id
        job = await bench.finish(job_id)
        assert "goes on from it" in refused[0]
        with pytest.raises(FailedPrecondition, match="the job's result"):
            await bench.usecases.delete_checkpoint(job_id, 30)
        await bench.usecases.delete_checkpoint(job_id, 20)
        assert [item.step for item in (await bench.usecases.list_checkpoints(job_id, 0, ""))[0]] == [30, 10]
        assert [place.step for place in places(bench.checkpoints.folder(job_id))] == [30, 10]
        for kept in kept_checkpoints(job.saved):
            assert path_of(kept.uri).exists() is (kept.step != 20)
        with pytest.raises(NotFound):
            await bench.usecases.delete_checkpoint(job_id, 20)

    asyncio.run(scenario())
