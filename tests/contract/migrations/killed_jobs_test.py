"""Databases that the services of 28 November 2026 left when they were killed at work, in the hands of this release.

Each file in `killed` is such a database. An evaluation had judged the first two of four transcripts, and a loop
waited for a run of its own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from services.chassis.database import Database
from services.chassis.database.migration import migrate
from services.chassis.jobs import JobState, SqlJobStore
from services.evaluator.store.sql import MIGRATIONS as EVALUATOR_MIGRATIONS
from services.evaluator.store.sql import SqlEvaluationStore
from services.feedback.domain.loop import loop_of
from services.feedback.store.jobs import MIGRATIONS as FEEDBACK_MIGRATIONS
from tests.unit.evaluator import bench as evaluator

RUN, EVALUATION = "run-1c6c7e280b3a4358", "eval-5b48cb428e6944d8"
LOOP, RUN_OF_LOOP = "loop-8affa2c448a3852bcd41", "run-a79383dcea864113"


@asynccontextmanager
async def left_by(service: str, migrations: Path, folder: Path) -> AsyncIterator[Database]:
    """Yield what an earlier release of a service left, brought to the schema of this one."""
    file = folder / "state.db"
    connection = sqlite3.connect(file)
    connection.executescript((Path(__file__).parent / "killed" / f"{service}.sql").read_text())
    connection.close()
    database = Database.open(f"sqlite+aiosqlite:///{file}")
    await migrate(database, migrations)
    yield database
    await database.close()


async def test_an_evaluation_goes_on_after_its_last_verdict(tmp_path: Path) -> None:
    async with left_by("evaluator", EVALUATOR_MIGRATIONS, tmp_path) as database:
        store = SqlEvaluationStore(database)
        record = await store.get_evaluation(EVALUATION)
        assert record is not None and record.num_verdicts == 2
        bench = evaluator.Bench(jobs=SqlJobStore(database), store=store)
        for run_id in (RUN, RUN_OF_LOOP):
            bench.runs.add(replace(record.subject, test_run_id=run_id))
        bench.runs.answer(RUN, 4)
        bench.runs.finish(RUN)
        job = await bench.work(EVALUATION)
        assert (job.state, job.attempt, job.error) == (JobState.SUCCEEDED, 2, None)
        assert job.result is not None and job.result["num_cases"] == 4


async def test_a_loop_is_read_and_taken_up_where_it_waited(tmp_path: Path) -> None:
    async with left_by("feedback", FEEDBACK_MIGRATIONS, tmp_path) as database:
        store = SqlJobStore(database)
        assert await store.take_over_all(["loop"]) == 1
        job = await store.claim(["loop"], "this release", 30)
        assert job is not None and (job.job_id, job.epoch) == (LOOP, 2)
        loop = loop_of(job)
        assert (loop.asked.goals[0].metric, loop.asked.budget.max_rounds) == ("conforming_rate", 2)
        assert [(item.number, item.test_run_id) for item in loop.rounds] == [(0, RUN_OF_LOOP)]
