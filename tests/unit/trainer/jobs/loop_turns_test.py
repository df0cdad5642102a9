"""The event loop goes on while a long report of a training is stored and its curve is listed."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

from drillyard.trainer.v1 import checkpoint_pb2

from services.chassis.jobs import SqlJobStore
from services.chassis.telemetry import Telemetry
from services.trainer.domain.attempt import AttemptReport, CurvePoint
from services.trainer.live_attempts import LiveAttempts
from services.trainer.servicer import CheckpointRpcs
from services.trainer.store.sql import MIGRATIONS, SqlTrainingStore
from services.trainer.telemetry import TrainerTelemetry
from services.trainer.usecases import TrainingUseCases
from tests.fakes.databases import new_database
from tests.unit.loop_turns import longest_turn, stays_free


async def forget(_job: object) -> None:
    raise AssertionError("nothing is deleted here")


def test_a_long_report_is_stored_and_listed() -> None:
    database = new_database(MIGRATIONS)
    jobs, store = SqlJobStore(database), SqlTrainingStore(database)
    inputs: Any = SimpleNamespace(checkpoints=None)
    rpcs = CheckpointRpcs()
    rpcs.usecases = TrainingUseCases(
        jobs=jobs,
        store=store,
        inputs=inputs,
        live_attempts=LiveAttempts(),
        telemetry=TrainerTelemetry(Telemetry()),
        forget=forget,
    )

    async def work(job_id: str, num_points: int) -> None:
        await jobs.create("training_job", job_id, {}, job_id=job_id)
        job = await jobs.claim(["training_job"], "me", 60)
        assert job is not None
        await store.begin_attempt(job_id, job.epoch, checkpoint=None)
        points = tuple(CurvePoint("loss", step, 0.5, 1) for step in range(1, num_points + 1))
        report = AttemptReport(training_job_id=job_id, attempt=1, epoch=job.epoch, curve_points=points)
        await store.add_report(report, save_total_limit=2)
        request = checkpoint_pb2.ListCurvePointsRequest(training_job_id=job_id, page_size=1000)
        response = await rpcs.ListCurvePoints(request, None)  # type: ignore[arg-type]
        assert len(response.curve_points) == num_points

    longest_turn(work("short", 1))
    names = itertools.count()
    assert stays_free(lambda: longest_turn(work(f"long-{next(names)}", 1000)))
