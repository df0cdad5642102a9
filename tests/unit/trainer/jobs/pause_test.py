"""Pauses in every phase of a training job, through restarts and failures, and what a job does with the best score."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from services.chassis.artifacts import ArtifactStore
from services.chassis.errors import Unavailable
from services.chassis.jobs import JobState
from services.chassis.wire import to_document
from services.trainer.domain.attempt import AttemptOutcome, AttemptReport, CurvePoint
from services.trainer.domain.plan import AttemptPlan
from services.trainer.domain.spec import KIND, TrainedWeights
from services.trainer.manifest import OPTIMIZER, places
from tests.unit.trainer.job_bench import SPEC, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "pod")


async def pause(bench: Bench, plan: AttemptPlan) -> None:
    await bench.usecases.resource.pause(plan.training_job_id)


async def pause_while_training(bench: Bench, plan: AttemptPlan) -> None:
    await bench.train_to(plan, 10, ends=False)
    await pause(bench, plan)
    await bench.train_until_stopped(plan, 14)


async def starts(bench: Bench) -> list[int]:
    job_id = bench.backend.plans[0].training_job_id
    return [item.start_step for item in (await bench.usecases.resource.get(job_id)).attempts]


def test_a_pause_ends_the_step_saves_frees_and_a_resume_goes_on_from_there(bench: Bench) -> None:
    async def scenario() -> None:
        bench.backend.script = [
            (partial(pause_while_training, bench), None),
            (lambda plan: bench.train_to(plan, 30), None),
        ]
        job_id = (await bench.usecases.create("r", SPEC)).training_job_id
        job = await bench.finish(job_id, JobState.PAUSED)
        assert (job.state, bench.backend.running) == (JobState.PAUSED, 0)
        assert str(job.progress["message"]).startswith("Pausing: the step that goes on")
        await bench.usecases.resource.resume(job_id)
        assert (await bench.finish(job_id)).state is JobState.SUCCEEDED
        assert await starts(bench) == [0, 14]

    asyncio.run(scenario())


def test_a_pause_before_the_first_step_waits_for_nothing(bench: Bench) -> None:
    async def scenario() -> None:
        bench.backend.script = [(partial(pause, bench), None), (lambda plan: bench.train_to(plan, 30), None)]
        job_id = (await bench.usecases.create("r", SPEC)).training_job_id
        assert (await bench.finish(job_id, JobState.PAUSED)).state is JobState.PAUSED
        assert bench.backend.running == 0
        assert [item["outcome"] for item in await bench.events(job_id, "attempt_end")] == ["stopped"]
        await bench.usecases.resource.resume(job_id)
        assert (await bench.finish(job_id)).state is JobState.SUCCEEDED
        assert await starts(bench) == [0, 0]

    asyncio.run(scenario())


def test_a_job_that_waits_for_the_registry_is_paused_at_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(_spec: object) -> None:
        await bench.jobs.request_pause("waiting")
        raise Unavailable("The registry is away.")

    async def scenario() -> None:
        job_id = (await bench.jobs.create(KIND, "r", to_document(SPEC), job_id="waiting")).job_id
        with monkeypatch.context() as patch:
            patch.setattr(bench.registry, "resolve", resolve)
            assert (await bench.finish(job_id, JobState.PAUSED)).state is JobState.PAUSED
        await bench.usecases.resource.resume(job_id)
        bench.backend.script = [(lambda plan: bench.train_to(plan, 30), None)]
        assert (await bench.finish(job_id)).state is JobState.SUCCEEDED

    asyncio.run(scenario())


def test_a_pause_after_the_last_step_comes_too_late_and_the_job_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.chassis.waiting._FIRST_PAUSE_SECONDS", 0.01)
    register = bench.registry.register_weights

    async def register_paused(*arguments: object, **options: object) -> str:
        job = await bench.jobs.get(bench.backend.plans[0].training_job_id)
        if job.state is JobState.RUNNING and not await declined(job.job_id):
            await bench.jobs.request_pause(job.job_id)
        if not await declined(job.job_id):
            raise Unavailable("The registry is away.")
        return await register(*arguments, **options)  # type: ignore[arg-type]

    async def declined(job_id: str) -> list[object]:
        states = await bench.events(job_id, "state")
        return [item["pause_declined"] for item in states if "pause_declined" in item]

    async def trains(plan: AttemptPlan) -> None:
        await bench.train_to(plan, 30, ends=False)
        await pause(bench, plan)
        await bench.report(plan, 30, AttemptOutcome.SUCCEEDED)

    async def scenario() -> None:
        monkeypatch.setattr(bench.registry, "register_weights", register_paused)
        bench.backend.script = [(trains, None)]
        job_id = (await bench.usecases.create("r", SPEC)).training_job_id
        assert (await bench.finish(job_id)).state is JobState.SUCCEEDED
        reasons = await declined(job_id)
        assert reasons and set(reasons) == {"Training has ended, and its result is being registered."}

    asyncio.run(scenario())


def test_a_paused_job_is_cancelled_and_keeps_its_checkpoints(bench: Bench) -> None:
    async def scenario() -> None:
        bench.backend.script = [(partial(pause_while_training, bench), None)]
        job_id = (await bench.usecases.create("r", SPEC)).training_job_id
        await bench.finish(job_id, JobState.PAUSED)
        assert (await bench.usecases.resource.cancel(job_id)).job.state is JobState.CANCELLED
        assert [item.step for item in await bench.store.list_checkpoints(job_id)] == [14, 10]

    asyncio.run(scenario())


def test_a_service_that_ends_while_a_job_is_pausing_leaves_the_pause_to_the_next(bench: Bench) -> None:
    async def scenario() -> None:
        pausing = asyncio.Event()

        async def hangs(plan: AttemptPlan) -> None:
            await bench.train_to(plan, 10, ends=False)
            await pause(bench, plan)
            pausing.set()

        bench.backend.script = [(hangs, None), (lambda plan: bench.train_to(plan, 30), None)]
        job_id = (await bench.usecases.create("r", SPEC)).training_job_id
        owner = asyncio.create_task(bench.finish(job_id))
        await pausing.wait()
        owner.cancel()
        await asyncio.gather(owner, return_exceptions=True)
        assert (await bench.jobs.get(job_id)).state is JobState.PAUSING
        assert (await bench.finish(job_id, JobState.PAUSED)).state is JobState.PAUSED
        await bench.usecases.resource.resume(job_id)
        assert (await bench.finish(job_id)).state is JobState.SUCCEEDED
        assert await starts(bench) == [0, 10]

    asyncio.run(scenario())


def test_a_service_that_ends_lets_attempts_save_first_and_the_next_goes_on_from_there(bench: Bench) -> None:
    async def trains(plan: AttemptPlan) -> None:
        await bench.train_to(plan, 10, ends=False)
        training.set()
        await bench.train_until_stopped(plan, 14)

    async def scenario() -> None:
        bench.backend.script = [(trains, None), (lambda plan: bench.train_to(plan, 30), None)]
        job_id = (await bench.usecases.create("r", SPEC)).training_job_id
        owner = asyncio.create_task(bench.finish(job_id))
        await training.wait()
        await bench.live_attempts.drain(30)
        owner.cancel()
        await asyncio.gather(owner, return_exceptions=True)
        assert [item.step for item in await bench.store.list_checkpoints(job_id)] == [14, 10]
        assert len(bench.backend.plans) == 1
        bench.live_attempts.is_draining = False
        assert (await bench.finish(job_id)).state is JobState.SUCCEEDED
        assert await starts(bench) == [0, 14]

    training = asyncio.Event()
    asyncio.run(scenario())


async def _damages(bench: Bench, plan: AttemptPlan) -> None:
    await bench.train_to(plan, 10, ends=False)
    await pause(bench, plan)
    await bench.save(plan, 14)
    newest = places(Path(plan.checkpoint_folder))[0].path / OPTIMIZER
    newest.chmod(0o644)
    newest.write_text("")
    await bench.report(plan, 14, AttemptOutcome.STOPPED)


async def _fails(bench: Bench, plan: AttemptPlan) -> None:
    await bench.train_to(plan, 10, ends=False)
    await pause(bench, plan)
    await bench.report(plan, 14, AttemptOutcome.FAILED, reason="No space is left.")


async def _dies(bench: Bench, plan: AttemptPlan) -> None:
    await bench.train_to(plan, 10, ends=False)
    await pause(bench, plan)


@pytest.mark.parametrize(
    ("happens", "exit_code", "words"),
    [
        (_damages, None, "step 14 was set aside"),
        (_fails, None, "Paused after step 10, and what was done since is done again on resume: No space is left."),
        (_dies, -signal.SIGKILL, "Paused after step 10.*killed"),
    ],
)
def test_a_pause_whose_save_is_lost_rests_on_the_checkpoint_before_and_says_so(
    bench: Bench, happens: Callable[[Bench, AttemptPlan], Awaitable[None]], exit_code: int | None, words: str
) -> None:
    async def scenario() -> None:
        bench.backend.script = [
            (partial(happens, bench), exit_code),
            (lambda plan: bench.train_to(plan, 30), None),
        ]
        job_id = (await bench.usecases.create("r", SPEC)).training_job_id
        assert (await bench.finish(job_id, JobState.PAUSED)).state is JobState.PAUSED
        texts = " ".join(str(item["text"]) for item in await bench.events(job_id, "message"))
        assert words.split(".*", maxsplit=1)[0] in texts and words.rsplit(".*", maxsplit=1)[-1] in texts
        await bench.usecases.resource.resume(job_id)
        assert (await bench.finish(job_id)).state is JobState.SUCCEEDED
        assert await starts(bench) == [0, 10]

    asyncio.run(scenario())


async def score(bench: Bench, plan: AttemptPlan, step: int, value: float) -> None:
    point = CurvePoint("adherence", step, value, plan.attempt)
    await bench.usecases.report(AttemptReport(plan.training_job_id, plan.attempt, plan.epoch, curve_points=(point,)))


@pytest.mark.parametrize(("damaged", "step"), [((), 10), ((10,), 20)])
def test_the_checkpoint_with_the_best_score_is_the_result_if_asked_for(
    bench: Bench, damaged: tuple[int, ...], step: int
) -> None:
    async def trains(plan: AttemptPlan) -> None:
        for number, value in ((5, 0.5), (10, 0.9), (20, 0.9), (30, 0.7)):
            await bench.save(plan, number)
            await score(bench, plan, number, value)
        for place in places(Path(plan.checkpoint_folder)):
            if place.step in damaged:
                (place.path / OPTIMIZER).chmod(0o644)
                (place.path / OPTIMIZER).write_text("")
        await bench.report(plan, 30, AttemptOutcome.SUCCEEDED)

    async def scenario() -> None:
        bench.backend.script = [(trains, None)]
        spec = replace(SPEC, load_best_model_at_end=True, eval_steps=5, save_total_limit=1)
        job_id = (await bench.usecases.create("r", spec)).training_job_id
        job = await bench.finish(job_id)
        assert (job.state, (job.result or {})["step"]) == (JobState.SUCCEEDED, step)
        assert [item.step for item in await bench.store.list_checkpoints(job_id)] == [30, 10]
        texts = [str(item["text"]) for item in await bench.events(job_id, "message")]
        assert any("next best" in text for text in texts) is bool(damaged)

    asyncio.run(scenario())


def test_whole_weights_are_registered_as_trained_ones(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        bench.backend.script = [(lambda plan: bench.train_to(plan, 30), None)]
        spec = replace(SPEC, trained_weights=TrainedWeights.FULL)
        job_id = (await bench.jobs.create(KIND, "r", to_document(spec))).job_id
        assert (await bench.finish(job_id)).state is JobState.SUCCEEDED
        assert bench.registry.kinds == ["trained"]

    asyncio.run(scenario())


def test_a_dataset_that_was_deleted_under_a_queued_job_is_named(bench: Bench) -> None:
    async def scenario() -> None:
        job_id = (await bench.usecases.create("r", SPEC)).training_job_id
        await ArtifactStore((bench.folder / "registry").as_uri()).delete(bench.registry.inputs.dataset.uri)
        job = await bench.finish(job_id)
        assert job.state is JobState.FAILED and job.error is not None
        assert "The dataset version drills@1 was deleted after the job was created." in job.error.problem
        assert bench.backend.plans == []

    asyncio.run(scenario())
