"""A plan that is torn, empty or of an older release costs one attempt, and not the job."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from services.chassis.jobs import JobState
from services.trainer.backends.ray_local import PLAN, RayLocalBackend
from services.trainer.domain.plan import AttemptPlan
from services.trainer.jobs.training_job import TrainingJobWork, TrainingLimits
from services.trainer.training.processes.plans import PlanSocket
from tests.unit.trainer.job_bench import SPEC, Bench, ScriptedBackend

BROKEN = ('{"training_job_id": "train', "", '{"training_job_id": "train-1", "attempt": 1, "suites": []}')


class OnThisMachine(ScriptedBackend):
    """Follows a script between files and leftovers as they are on this machine."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.backend = RayLocalBackend(folder)

    async def prepare(self, plan: AttemptPlan) -> AttemptPlan:
        return await self.backend.prepare(plan)

    async def clear(self, training_job_id: str) -> int:
        return await self.backend.clear(training_job_id)


@pytest.mark.parametrize("content", BROKEN)
def test_a_plan_file_that_is_torn_empty_or_older_costs_one_attempt(tmp_path: Path, content: str) -> None:
    bench, attempts = Bench(tmp_path), tmp_path / "attempts"
    backend = OnThisMachine(attempts)

    def damage(plan: AttemptPlan) -> None:
        (attempts / plan.training_job_id / "attempt-001" / PLAN).write_text(content)

    backend.script = [(damage, 1), (lambda plan: bench.train_to(plan, 30), None)]
    limits = TrainingLimits(release_seconds=0.1)
    bench.work = TrainingJobWork(replace(bench.to, backend=backend), limits, lambda: "127.0.0.1:1")

    async def scenario() -> None:
        job_id = (await bench.usecases.create("r", SPEC)).job.job_id
        assert (await bench.finish(job_id)).state is JobState.SUCCEEDED
        found = (await bench.usecases.resource.get(job_id)).attempts
        assert [str(attempt.outcome) for attempt in found] == ["failed", "succeeded"]
        assert AttemptPlan.read(attempts / job_id / "attempt-002" / PLAN).attempt == 2
        await backend.clear(job_id)

    asyncio.run(scenario())


@pytest.mark.parametrize("line", BROKEN)
def test_a_process_that_gets_such_a_plan_ends_by_it_and_does_not_wait(line: str) -> None:
    with tempfile.TemporaryDirectory(prefix="dy-", dir="/tmp") as folder, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{folder}/plans")
        server.listen()
        plans = PlanSocket(Path(folder, "plans"))
        connection, _ = server.accept()
        with connection, plans._socket:
            connection.sendall(line.encode() + b"\n")
            with pytest.raises(ValueError, match="torn, or of another release"):
                next(iter(plans))
