"""A training job from its creation to its registered result, through attempts that fail, vanish and hang."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import aclosing
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import pytest

from services.chassis.errors import (
    AlreadyExists,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
)
from services.chassis.jobs import JobState
from services.chassis.wire import to_document
from services.trainer.domain.attempt import (
    LOST_REASON,
    Attempt,
    AttemptOutcome,
    AttemptReport,
    CurvePoint,
    num_failures,
)
from services.trainer.domain.plan import AttemptPlan
from services.trainer.domain.spec import KIND
from services.trainer.jobs.training_job import TrainingLimits
from services.trainer.manifest import places
from tests.unit.outages import break_often
from tests.unit.trainer.job_bench import SPEC, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def outcomes(bench: Bench, job_id: str) -> list[tuple[str, int]]:
    attempts = (await bench.usecases.resource.get(job_id)).attempts
    return [(str(item.outcome), item.start_step) for item in attempts]


def _set(event: asyncio.Event, _plan: AttemptPlan) -> None:
    event.set()


def test_a_job_ends_with_the_last_checkpoint_registered_once(bench: Bench) -> None:
    async def scenario() -> None:
        bench.backend.script = [(lambda plan: bench.train_to(plan, 10, 20, 30), None)]
        job_id = (await bench.usecases.create("r", SPEC)).job.job_id
        job = await bench.finish(job_id)
        assert (job.state, job.result) == (JobState.SUCCEEDED, {"model_version_id": "tiny@2", "step": 30})
        assert await outcomes(bench, job_id) == [("succeeded", 0)]
        assert list(bench.registry.registered) == [f"{job_id}/result"]
        points, token = await bench.usecases.list_curve_points(job_id, "loss", page_size=2, page_token="")
        assert [point.step for point in points] == [10, 20]
        points, token = await bench.usecases.list_curve_points(job_id, "loss", page_size=2, page_token=token)
        assert ([point.step for point in points], token) == ([30], "")
        assert [item["step"] for item in await bench.events(job_id, "checkpoint")] == [10, 20, 30]
        assert bench.backend.running == 0

    asyncio.run(scenario())


def test_a_training_whose_database_is_away_now_and_then_trains_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        bench.backend.script = [(lambda plan: bench.train_to(plan, 10, 20, 30), None)]
        job_id = (await bench.usecases.create("r", SPEC)).job.job_id
        break_often(monkeypatch)
        job = await bench.finish(job_id)
        assert (job.state, job.attempt, job.result) == (
            JobState.SUCCEEDED,
            1,
            {"model_version_id": "tiny@2", "step": 30},
        )

    asyncio.run(scenario())


def test_what_an_attempt_says_of_how_it_computes_is_an_event_of_the_job_once(bench: Bench) -> None:
    async def trains(plan: AttemptPlan) -> None:
        await bench.report(plan, 1, notices=("Each example is trained by itself.", "2 of 4 rows are not asked."))
        await bench.report(plan, 2, notices=("Each example is trained by itself.",))
        await bench.train_to(plan, 30)

    async def scenario() -> None:
        bench.backend.script = [(trains, None)]
        job_id = (await bench.usecases.create("r", SPEC)).job.job_id
        await bench.finish(job_id)
        assert await bench.events(job_id, "message") == [
            {"text": "Each example is trained by itself."},
            {"text": "2 of 4 rows are not asked."},
        ]

    asyncio.run(scenario())


def test_a_failed_attempt_is_followed_by_one_from_its_last_checkpoint(bench: Bench) -> None:
    async def fails(plan: AttemptPlan) -> None:
        await bench.train_to(plan, 10, ends=False)
        await bench.report(plan, 14, AttemptOutcome.FAILED, reason="A worker broke.")

    async def scenario() -> None:
        bench.backend.script = [
            (fails, None),
            (lambda plan: bench.train_to(plan, 20, ends=False), -signal.SIGKILL),
            (lambda plan: bench.train_to(plan, 30), None),
        ]
        job_id = (await bench.usecases.create("r", SPEC)).job.job_id
        assert (await bench.finish(job_id)).state is JobState.SUCCEEDED
        assert await outcomes(bench, job_id) == [("failed", 0), ("lost", 10), ("succeeded", 20)]
        assert bench.backend.plans[0].resume_from == ""
        assert bench.backend.plans[2].resume_from.endswith("step-00000020-attempt-002")
        reasons = [item["reason"] for item in await bench.events(job_id, "attempt_end")]
        assert reasons[0] == "A worker broke." and "killed" in str(reasons[1])

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("exit_code", "words"), [(0, "reported no result"), (1, "code 1"), (-signal.SIGKILL, "memory"), (-11, "signal 11")]
)
def test_attempts_that_keep_ending_end_the_job_with_the_reason(bench: Bench, exit_code: int, words: str) -> None:
    async def scenario() -> None:
        bench.backend.script = [(lambda plan: None, exit_code)] * 3
        job_id = (await bench.usecases.create("r", SPEC)).job.job_id
        job = await bench.finish(job_id)
        assert job.state is JobState.FAILED and job.error is not None
        assert "3 attempts failed" in job.error.problem and words in job.error.problem and job.error.next_step
        assert bench.backend.script == [] and bench.registry.registered == {}

    asyncio.run(scenario())


def test_a_training_that_takes_too_much_memory_fails_by_itself_and_says_what_to_lower(bench: Bench) -> None:
    def outgrows(_plan: AttemptPlan) -> None:
        raise ResourceExhausted("The training processes took more than 1 MiB of memory.", "Lower the batch size.")

    async def scenario() -> None:
        bench.backend.script = [(outgrows, None)] * 3
        job_id = (await bench.usecases.create("r", SPEC)).job.job_id
        job = await bench.finish(job_id)
        assert job.state is JobState.FAILED and job.error is not None
        assert "3 attempts failed" in job.error.problem and "memory. Lower the batch size." in job.error.problem
        assert await outcomes(bench, job_id) == [("failed", 0)] * 3

    asyncio.run(scenario())


def test_an_attempt_that_no_other_would_mend_is_not_repeated(bench: Bench) -> None:
    async def fails(plan: AttemptPlan) -> None:
        await bench.report(plan, 0, AttemptOutcome.FAILED, reason="Example e1 is too long.", is_permanent="yes")

    async def scenario() -> None:
        bench.backend.script = [(fails, None)]
        job_id = (await bench.usecases.create("r", SPEC)).job.job_id
        job = await bench.finish(job_id)
        assert job.error is not None and "Example e1 is too long." in job.error.problem
        assert len(bench.backend.plans) == 1

    asyncio.run(scenario())


def test_an_attempt_that_stands_still_is_ended(tmp_path: Path) -> None:
    bench = Bench(tmp_path, TrainingLimits(max_attempts=1, stall_seconds=0.6))

    async def beats(plan: AttemptPlan) -> None:
        while True:
            await bench.report(plan, 0)
            await asyncio.sleep(0.1)

    async def scenario() -> None:
        bench.backend.script = [(beats, None)]
        job_id = (await bench.usecases.create("r", SPEC)).job.job_id
        job = await bench.finish(job_id)
        assert job.error is not None and "Nothing moved for 1 s in the phase train" in job.error.problem
        assert bench.backend.running == 0

    asyncio.run(scenario())


def test_a_damaged_checkpoint_is_told_and_the_one_before_it_used(bench: Bench) -> None:
    async def damages(plan: AttemptPlan) -> None:
        await bench.train_to(plan, 10, 20, ends=False)
        newest = places(Path(plan.checkpoint_folder))[0].path
        weights = newest / "adapter" / "adapter_model.safetensors"
        weights.chmod(0o644)
        weights.write_text("20 by 2")

    async def scenario() -> None:
        bench.backend.script = [(damages, 1), (lambda plan: bench.train_to(plan, 20, 30), None)]
        job_id = (await bench.usecases.create("r", SPEC)).job.job_id
        assert (await bench.finish(job_id)).state is JobState.SUCCEEDED
        assert await outcomes(bench, job_id) == [("failed", 0), ("succeeded", 10)]
        here, kept = await bench.events(job_id, "message")
        assert "step 20 was set aside" in str(here["text"]) and "step 20 was dropped" in str(kept["text"])

    asyncio.run(scenario())


def test_a_restart_between_the_end_of_training_and_the_registration_trains_no_more(bench: Bench) -> None:
    async def scenario() -> None:
        bench.registry.away = 1 << 30
        bench.backend.script = [(lambda plan: bench.train_to(plan, 30), None)]
        job_id = (await bench.usecases.create("r", SPEC)).job.job_id
        first = asyncio.create_task(bench.finish(job_id))
        async with aclosing(bench.usecases.resource.watch(job_id, 0)) as events:
            async for event in events:
                if event.type == "attempt_end":
                    break
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        bench.registry.away = 1
        job = await bench.finish(job_id)
        assert (job.state, len(bench.backend.plans)) == (JobState.SUCCEEDED, 1)
        assert list(bench.registry.registered) == [f"{job_id}/result"]

    asyncio.run(scenario())


def test_processes_of_an_earlier_attempt_that_cannot_be_ended_yet_are_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.chassis.waiting._FIRST_PAUSE_SECONDS", 0.001)
    clear, stuck = bench.backend.clear, [Unavailable("Training processes cannot be ended: 7.")]

    async def clears(training_job_id: str) -> int:
        if stuck:
            raise stuck.pop()
        return await clear(training_job_id)

    async def scenario() -> None:
        monkeypatch.setattr(bench.backend, "clear", clears)
        bench.backend.script = [(lambda plan: bench.train_to(plan, 30), None)]
        job_id = (await bench.usecases.create("r", SPEC)).job.job_id
        assert (await bench.finish(job_id)).state is JobState.SUCCEEDED and not stuck

    asyncio.run(scenario())


def test_a_disk_that_is_full_for_a_moment_costs_no_attempt(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.chassis.waiting._FIRST_PAUSE_SECONDS", 0.001)
    bench.backend.outages = [ResourceExhausted("No space is left.") for _ in range(4)]

    async def scenario() -> None:
        bench.backend.script = [(lambda plan: bench.train_to(plan, 30), None)]
        job_id = (await bench.usecases.create("r", SPEC)).job.job_id
        assert (await bench.finish(job_id)).state is JobState.SUCCEEDED
        assert await outcomes(bench, job_id) == [("succeeded", 0)] and not bench.backend.outages

    asyncio.run(scenario())


def test_a_finished_training_waits_for_a_registry_that_is_slow_full_or_away_and_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.chassis.waiting._FIRST_PAUSE_SECONDS", 0.001)

    async def trains(plan: AttemptPlan) -> None:
        bench.registry.outages = [DeadlineExceeded("Slow."), ResourceExhausted("Full."), Unavailable("Away.")]
        await bench.train_to(plan, 30)

    async def scenario() -> None:
        bench.backend.script = [(trains, None)]
        job_id = (await bench.usecases.create("r", SPEC)).job.job_id
        assert (await bench.finish(job_id)).state is JobState.SUCCEEDED
        assert len(bench.backend.plans) == len(bench.registry.registered) == 1 and not bench.registry.outages
        # Reports are spaced out, and these waits are short: the last of what was told is there.
        assert (await bench.events(job_id, "progress"))[-1]["message"] == "Back: the registry answers again."

    asyncio.run(scenario())


def test_a_job_whose_inputs_were_not_resolved_waits_for_the_registry(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.chassis.waiting._FIRST_PAUSE_SECONDS", 0.001)

    async def scenario() -> None:
        bench.backend.script = [(lambda plan: bench.train_to(plan, 30), None)]
        job_id = (await bench.jobs.create(KIND, "r", to_document(SPEC))).job_id
        bench.registry.outages = [Unavailable("Away."), ResourceExhausted("Full.")]
        assert (await bench.finish(job_id)).state is JobState.SUCCEEDED

    asyncio.run(scenario())


def test_restarts_of_the_service_do_not_count_as_failures(bench: Bench) -> None:
    async def scenario() -> None:
        job_id = (await bench.usecases.create("r", SPEC)).job.job_id
        for _ in range(4):
            started = asyncio.Event()
            bench.backend.script = [(partial(_set, started), None)]
            owner = asyncio.create_task(bench.finish(job_id))
            await started.wait()
            owner.cancel()
            await asyncio.gather(owner, return_exceptions=True)
            assert bench.backend.running == 0
        bench.backend.script = [(lambda plan: bench.train_to(plan, 30), None)]
        assert (await bench.finish(job_id)).state is JobState.SUCCEEDED
        assert await outcomes(bench, job_id) == [("lost", 0)] * 4 + [("succeeded", 0)]

    asyncio.run(scenario())


def test_cancelling_ends_the_processes_and_tells_them_to_stop(bench: Bench) -> None:
    async def scenario() -> None:
        started = asyncio.Event()
        bench.backend.script = [(lambda plan: started.set(), None)]
        job_id = (await bench.usecases.create("r", SPEC)).job.job_id
        working = asyncio.create_task(bench.finish(job_id))
        await started.wait()
        assert await bench.report(bench.backend.plans[0], 1) is False
        await bench.jobs.request_cancel(job_id)
        job = await working
        assert (job.state, bench.backend.running) == (JobState.CANCELLED, 0)

    asyncio.run(scenario())


def test_reports_are_taken_only_from_the_live_attempt(bench: Bench) -> None:
    async def scenario() -> None:
        bench.backend.script = [(lambda plan: bench.train_to(plan, 30), None)]
        job_id = (await bench.usecases.create("r", SPEC)).job.job_id
        await bench.finish(job_id)
        with pytest.raises(FailedPrecondition):
            await bench.report(bench.backend.plans[0], 31)
        with pytest.raises(NotFound):
            await bench.usecases.report(AttemptReport("train-none", 1, 1))
        broken = AttemptReport(job_id, 1, 1, curve_points=(CurvePoint("loss", 1, float("nan"), 1),))
        with pytest.raises(InvalidArgument):
            await bench.usecases.report(broken)

    asyncio.run(scenario())


def test_creating_twice_gives_one_job_and_another_body_is_refused(bench: Bench) -> None:
    async def scenario() -> None:
        first, second = await bench.usecases.create("r", SPEC), await bench.usecases.create("r", SPEC)
        assert first.job.job_id == second.job.job_id
        assert (first.spec.model_version_id, first.spec.output_model_id) == ("tiny@1", "tiny")
        with pytest.raises(AlreadyExists, match="seed"):
            await bench.usecases.create("r", replace(SPEC, seed=3))
        with pytest.raises(NotFound):
            await bench.usecases.create("other", replace(SPEC, model_version_id="unknown"))
        listed, token = await bench.usecases.resource.list()
        assert ([item.job.job_id for item in listed], token) == ([first.job.job_id], "")

    asyncio.run(scenario())


def test_a_job_whose_stored_spec_names_every_default_is_found_again(bench: Bench) -> None:
    async def scenario() -> None:
        stored = await bench.jobs.create(KIND, "r", json.loads(json.dumps(asdict(SPEC))))
        assert (await bench.usecases.create("r", SPEC)).job.job_id == stored.job_id
        with pytest.raises(AlreadyExists, match="num_epochs"):
            await bench.usecases.create("r", replace(SPEC, num_epochs=7))

    asyncio.run(scenario())


def test_unknown_ids_and_pages_say_what_is_wrong(bench: Bench) -> None:
    async def scenario() -> None:
        job_id = (await bench.usecases.create("r", SPEC)).job.job_id
        for call in (bench.usecases.resource.get, bench.usecases.resource.cancel):
            with pytest.raises(NotFound, match="no training job 'train-none'"):
                await call("train-none")
        for token in ("x", "1:2:3x", "-1"):
            with pytest.raises(InvalidArgument):
                await bench.usecases.list_checkpoints(job_id, 0, token)
        with pytest.raises(InvalidArgument, match="page size"):
            await bench.usecases.list_curve_points(job_id, "", page_size=-1, page_token="")

    asyncio.run(scenario())


def test_only_failures_since_the_last_checkpoint_count_whichever_hold_they_happened_in() -> None:
    attempts = (
        Attempt(1, epoch=1, start_step=0, outcome=AttemptOutcome.FAILED, reason="It broke."),
        Attempt(2, epoch=1, start_step=10, outcome=AttemptOutcome.LOST, reason="The training process was killed."),
        Attempt(3, epoch=2, start_step=10, outcome=AttemptOutcome.LOST, reason=LOST_REASON),
        Attempt(4, epoch=3, start_step=10, outcome=AttemptOutcome.FAILED, reason="It broke."),
    )
    assert [num_failures(attempts, step) for step in (0, 10, 20)] == [3, 2, 0]
