"""What goes of the trainer's files: nothing that a job at work, its last or its best checkpoint needs."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from services.chassis.jobs import JobState
from services.chassis.machine.files import size_below
from services.trainer.domain.attempt import AttemptReport, CurvePoint
from services.trainer.domain.plan import AttemptPlan
from services.trainer.jobs.garbage import TrainingGarbage
from services.trainer.jobs.kept_checkpoints import kept_checkpoints
from services.trainer.manifest import QUARANTINED
from tests.unit.trainer.job_bench import SPEC, Bench

# Whatever has happened is so long ago.
LONG = -1.0


def garbage_of(bench: Bench, days: float) -> TrainingGarbage:
    folder = bench.folder
    return TrainingGarbage(
        bench.work._to,
        bench.jobs,
        folder / "attempts",
        folder / "checkpoints",
        checkpoint_days=days,
        attempt_days=days,
    )


def make_leftovers(bench: Bench, plan: AttemptPlan) -> None:
    Path(plan.checkpoint_folder, f"step-00000005-attempt-001{QUARANTINED}").mkdir(parents=True)
    (bench.folder / "attempts" / plan.training_job_id).mkdir(parents=True)


async def trains(bench: Bench, plan: AttemptPlan) -> None:
    """Save three checkpoints of which the second is the best."""
    for step, adherence in ((10, 0.5), (20, 0.9), (30, 0.7)):
        point = CurvePoint("adherence", step, adherence, plan.attempt)
        await bench.save(plan, step)
        report = AttemptReport(plan.training_job_id, plan.attempt, plan.epoch, curve_points=(point,))
        await bench.usecases.report(report)


def test_an_ended_job_keeps_its_last_and_best_checkpoint_and_one_at_work_all(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "pod")

    async def works(plan: AttemptPlan) -> None:
        make_leftovers(bench, plan)
        await trains(bench, plan)
        at_work = garbage_of(bench, LONG)
        assert [item.name async for item in at_work.checkpoints()] == [
            f"{plan.training_job_id}/step-00000005-attempt-001{QUARANTINED}"
        ]
        assert [item async for item in at_work.attempts()] == []
        await bench.train_to(plan, 40)

    async def scenario() -> None:
        bench.backend.script = [(works, None)]
        job_id = (await bench.usecases.create("r", SPEC)).job.job_id
        job = await bench.finish(job_id)
        assert job.state is JobState.SUCCEEDED
        kept = {item.step: item.uri for item in kept_checkpoints(job.saved)}
        assert await garbage_of(bench, 7).held() == set(kept.values())
        assert [item async for item in garbage_of(bench, 7).checkpoints()] == []
        assert [item async for item in garbage_of(bench, 7).attempts()] == []
        old = garbage_of(bench, LONG)
        assert await old.held() == {uri for step, uri in kept.items() if step in (20, 40)}
        for item in [item async for item in old.checkpoints()]:
            await item.remove()
            await item.remove()
        names = sorted(place.name for place in bench.checkpoints.folder(job_id).iterdir())
        assert names == ["step-00000020-attempt-001", "step-00000040-attempt-001"]
        assert {item.step for item in await bench.store.list_checkpoints(job_id)} <= {20, 40}
        assert [item async for item in old.checkpoints()] == []
        assert [item.name async for item in old.attempts()] == [job_id]

    asyncio.run(scenario())


def test_folders_of_deleted_jobs_go_after_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path / "pod")
    for name in ("attempts", "checkpoints"):
        (bench.folder / name / "train-gone").mkdir(parents=True)

    async def names() -> list[str]:
        garbage = garbage_of(bench, 7)
        items = [item async for item in garbage.attempts()] + [item async for item in garbage.checkpoints()]
        return [item.kind for item in items]

    assert asyncio.run(names()) == []
    threads: list[threading.Thread] = []

    def measured(place: Path) -> int:
        threads.append(threading.current_thread())
        return size_below(place)

    monkeypatch.setattr("services.trainer.jobs.garbage._ORPHAN_DAYS", LONG)
    monkeypatch.setattr("services.trainer.jobs.garbage.size_below", measured)
    assert asyncio.run(names()) == ["attempt", "checkpoint"]
    assert len(threads) == 2 and threading.main_thread() not in threads, "heartbeats would wait for the disk"
