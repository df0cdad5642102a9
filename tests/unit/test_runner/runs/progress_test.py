"""What a run says of how far it is."""

from __future__ import annotations

from services.chassis.jobs import JobContext, Json
from services.test_runner.domain.test_run import TestRunPhase
from services.test_runner.jobs.progress import RunProgress
from services.test_runner.ports.generation import Activity
from tests.unit.chassis.jobs.memory_store import MemoryJobStore


async def progress_of(*, num_stored: int, num_total: int) -> tuple[MemoryJobStore, JobContext, RunProgress]:
    jobs = MemoryJobStore()
    await jobs.create("test_run", "r", {}, job_id="run-1")
    job = await jobs.claim(["test_run"], "me", 60)
    assert job is not None
    context = JobContext(jobs, job)
    return jobs, context, RunProgress(context, num_stored=num_stored, num_total=num_total)


async def shown(jobs: MemoryJobStore, context: JobContext) -> Json:
    await context.close()
    return (await jobs.get("run-1")).progress


async def test_the_phases_are_told_apart() -> None:
    jobs, context, progress = await progress_of(num_stored=0, num_total=20)
    await progress.turn_started()
    assert (await shown(jobs, context))["message"] == "The model is being loaded."
    await progress.active(Activity(TestRunPhase.GENERATE))
    assert (await shown(jobs, context))["message"] == "The prompts are being read."
    await progress.active(Activity(TestRunPhase.GENERATE, num_tokens=90, num_active=7))
    assert (await shown(jobs, context))["message"].endswith("tokens a second, 7 answers in work.")


async def test_what_was_stored_before_a_restart_is_counted() -> None:
    jobs, context, progress = await progress_of(num_stored=10, num_total=20)
    await progress.active(Activity(TestRunPhase.GENERATE, 5, 1))
    await progress.session_over()
    assert (await shown(jobs, context))["done"] == 11
    await progress.window_stored(15)
    assert (await shown(jobs, context))["done"] == 15


async def test_answers_of_a_try_that_broke_are_not_counted() -> None:
    jobs, context, progress = await progress_of(num_stored=0, num_total=20)
    await progress.active(Activity(TestRunPhase.GENERATE, 5, 1))
    await progress.session_over()
    await progress.restarted()
    assert (await shown(jobs, context))["done"] == 0


async def test_no_time_is_promised_from_a_few_answers() -> None:
    jobs, context, progress = await progress_of(num_stored=0, num_total=20)
    await progress.active(Activity(TestRunPhase.GENERATE, 5, 4))
    for _ in range(4):
        await progress.session_over()
    assert "eta_seconds" not in await shown(jobs, context)
    await progress.session_over()
    found = await shown(jobs, context)
    assert found["eta_seconds"] >= 0
    assert found["message"].endswith(" left.")


async def test_one_answer_in_work_is_one() -> None:
    jobs, context, progress = await progress_of(num_stored=0, num_total=20)
    await progress.active(Activity(TestRunPhase.GENERATE))
    await progress.active(Activity(TestRunPhase.GENERATE, num_tokens=90, num_active=1))
    assert (await shown(jobs, context))["message"].endswith("tokens a second, 1 answer in work.")
