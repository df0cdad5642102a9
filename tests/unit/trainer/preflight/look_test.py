"""What the service adds to what the process found: disk, and time by what earlier jobs have measured."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.chassis.errors import NotFound
from services.trainer.convert import preflight_to_proto
from services.trainer.domain.attempt import AttemptReport, CurvePoint
from services.trainer.domain.memory import MemoryEstimate
from services.trainer.domain.plan import AttemptPlan
from services.trainer.domain.preflight import PreflightRequest, RowsReport, SharedPrefix
from services.trainer.domain.spec import TrainingJobSpec, TrainingMethod
from services.trainer.jobs.preflight import Preflight
from tests.unit.trainer.job_bench import SPEC, Bench

SPEEDS = {1: 1.0, 2: 50.0, 3: 60.0}
MEMORY = MemoryEstimate(1, 2, 0, 3, 4, 100, 1000, 10, 0)


class Rows:
    """Found ten rows, and remembers what it was asked."""

    def __init__(self, **changes: Any) -> None:
        counts = dict.fromkeys(RowsReport.__dataclass_fields__, 0)
        lists = dict.fromkeys(("refusals", "warnings", "faults", "fault_lines", "duplicates", "overlaps"), ())
        told: dict[str, Any] = {
            "num_train_rows": 10,
            "shared_prefix": SharedPrefix(4000, 1000),
            "num_steps": 6,
            "checkpoint_bytes": 100,
            "result_bytes": 40,
        }
        empty = {"lengths": None, "row": None, "memory": MEMORY, "device": "CPU"}
        self.report = RowsReport(**{**counts, **lists, **empty, **told, **changes})
        self.requests: list[PreflightRequest] = []

    async def look(self, request: PreflightRequest) -> RowsReport:
        self.requests.append(request)
        return self.report


def preflight(bench: Bench, rows: Rows) -> Preflight:
    return Preflight(bench.to, bench.jobs, rows, folder=bench.folder, dtype="auto")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def trained(bench: Bench, spec: TrainingJobSpec = SPEC) -> str:
    async def happens(plan: AttemptPlan) -> None:
        points = tuple(CurvePoint("tokens_per_second", step, speed, plan.attempt) for step, speed in SPEEDS.items())
        report = AttemptReport(plan.training_job_id, plan.attempt, plan.epoch, 3, 3, "train", curve_points=points)
        await bench.usecases.report(report)
        await bench.train_to(plan, 30)

    bench.backend.script = [(happens, None)]
    job_id = (await bench.usecases.create("r", spec)).job.job_id
    await bench.finish(job_id)
    return job_id


def test_without_a_job_like_it_no_time_is_told_and_why(bench: Bench) -> None:
    async def scenario() -> None:
        rows = Rows()
        told = await preflight(bench, rows).look(SPEC, 3)
        assert told.duration is not None
        assert (told.duration.num_steps, told.duration.seconds) == (6, 0)
        assert "No training of this model with like settings has been measured" in told.duration.basis
        assert (told.disk.needed_bytes, told.disk.checkpoint_bytes) == ((SPEC.save_total_limit + 1) * 100 + 40, 100)
        assert told.disk.free_bytes > 0
        assert rows.requests[0].line == 3
        message = preflight_to_proto(told)
        assert (message.shared_prefix.ratio, message.memory.total_bytes) == (4, 10)

    asyncio.run(scenario())


def test_time_is_told_by_what_a_job_with_like_settings_has_measured(bench: Bench) -> None:
    async def scenario() -> None:
        job_id = await trained(bench)
        told = (await preflight(bench, Rows()).look(SPEC, 0)).duration
        assert told is not None
        assert job_id in told.basis
        # Each row costs 100 tokens behind what it shares, each of six steps takes a batch of them.
        assert told.seconds == pytest.approx(6 * SPEC.batch_size * 100 / 50)
        other = (await preflight(bench, Rows()).look(replace(SPEC, gradient_checkpointing=True), 0)).duration
        assert other is not None
        assert other.seconds == 0

    asyncio.run(scenario())


def test_no_time_is_told_where_the_models_own_answers_decide_it(bench: Bench) -> None:
    async def scenario() -> None:
        spec = replace(SPEC, method=TrainingMethod.GRPO)
        await trained(bench, spec)
        told = (await preflight(bench, Rows()).look(spec, 0)).duration
        assert told is not None
        assert told.seconds == 0 and "how long the model's answers are" in told.basis

    asyncio.run(scenario())


def test_while_rows_are_being_looked_at_no_time_is_told(bench: Bench) -> None:
    async def scenario() -> None:
        assert (await preflight(bench, Rows(num_steps=0, shared_prefix=None)).look(SPEC, 0)).duration is None

    asyncio.run(scenario())


def test_a_model_that_does_not_exist_is_told_before_anything_is_read(bench: Bench) -> None:
    async def scenario() -> None:
        rows = Rows()
        with pytest.raises(NotFound, match="nosuch"):
            await preflight(bench, rows).look(replace(SPEC, model_version_id="nosuch"), 0)
        assert rows.requests == []

    asyncio.run(scenario())
