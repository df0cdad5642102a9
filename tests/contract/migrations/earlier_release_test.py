"""What the release before this schema wrote opens, is migrated, and its jobs go on; a later schema is refused.

`earlier/*.sql` are the databases of a data folder, copied while each service had one job that had ended and one at
work. They stay as they are when the schema moves on.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, text

import services
from services.chassis.database import Database
from services.chassis.database.migration import migrate
from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import JobState, SqlJobStore
from services.protocols.profile import get_profile
from services.test_runner.store.sql import SqlRunStore
from services.trainer.domain.inputs import TrainingInputs
from tests.unit.test_runner import bench as testing
from tests.unit.trainer import job_bench as training

EARLIER = Path(__file__).parent / "earlier"
# The kind of job that each service has, if it has one there.
KINDS = {
    "registry": "",
    "test_runner": "test_run",
    "evaluator": "evaluation",
    "trainer": "training_job",
    "feedback": "loop",
}
SERVICES = {name: Path(services.__file__).parent / name / "store" / "migrations" for name in KINDS}


def restore(name: str, data_dir: Path) -> Path:
    """Put the earlier database of a service into a data folder."""
    path = data_dir / name / "state.db"
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((EARLIER / f"{name}.sql").read_text(encoding="utf-8"))
    return path


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Database]:
    path.parent.mkdir(parents=True, exist_ok=True)
    database = Database.open(f"sqlite+aiosqlite:///{path}")
    yield database
    await database.close()


async def schema(database: Database) -> dict[str, set[str]]:
    """Return the columns and indexes of each table."""
    async with database.engine.connect() as connection:
        return await connection.run_sync(
            lambda sync: {
                table: {
                    str(item["name"]) for item in (*inspect(sync).get_columns(table), *inspect(sync).get_indexes(table))
                }
                for table in inspect(sync).get_table_names()
            }
        )


async def rows_of(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Return what each table holds."""
    async with database.reading() as session:
        tables = {name: await session.execute(text(f"SELECT * FROM {name}")) for name in await schema(database)}
        return {name: [dict(row) for row in found.mappings()] for name, found in tables.items()}


async def write(database: Database, rows: dict[str, list[dict[str, Any]]]) -> None:
    """Insert rows by the columns that they have, as the release does that knows no others."""
    async with database.session() as session:
        await session.execute(text("PRAGMA defer_foreign_keys = ON"))
        for table, inserted in rows.items():
            if inserted and table != "alembic_version":
                columns, values = ", ".join(inserted[0]), ", ".join(f":{column}" for column in inserted[0])
                await session.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({values})"), inserted)


@pytest.mark.parametrize("name", SERVICES)
async def test_a_database_of_the_release_before_is_brought_forward_and_its_replicas_may_write_to_a_new_one(
    name: str, tmp_path: Path
) -> None:
    async with opened(restore(name, tmp_path)) as earlier, opened(tmp_path / "new" / "state.db") as new:
        before = await rows_of(earlier)
        assert any(before.values())
        for each in (earlier, new):
            await migrate(each, SERVICES[name])
        assert await schema(earlier) == await schema(new)
        # While pods are replaced, those of the release before go on beside the new ones.
        await write(new, before)
        for database in (earlier, new):
            rows = await rows_of(database)
            assert {table: len(rows[table]) for table in before} == {
                table: len(found) for table, found in before.items()
            }
            await a_job_goes_on(SqlJobStore(database), KINDS[name])


async def a_job_goes_on(jobs: SqlJobStore, kind: str) -> None:
    """Check that what has ended can be read, and that what was at work is taken over."""
    if not kind:
        return
    listed, _ = await jobs.list(kind)
    assert [job.state for job in listed] == [JobState.RUNNING, JobState.SUCCEEDED]
    await jobs.take_over_all([kind])
    held = await jobs.claim([kind], "successor", 30.0)
    assert held is not None and (held.job_id, held.epoch, jobs.num_unreadable) == (listed[0].job_id, 2, 0)


@pytest.mark.parametrize("name", SERVICES)
async def test_a_database_of_a_later_release_is_refused_with_a_sentence_and_left_as_it_is(
    name: str, tmp_path: Path
) -> None:
    async with opened(restore(name, tmp_path)) as database:
        async with database.session() as session:
            await session.execute(text("UPDATE alembic_version SET version_num = '9999_later'"))
        before = await schema(database), await rows_of(database)
        with pytest.raises(FailedPrecondition, match=r"9999_later, which is newer.*Start the newer release again"):
            await migrate(database, SERVICES[name])
        assert (await schema(database), await rows_of(database)) == before


def brought_forward(name: str, folder: Path) -> tuple[Database, str]:
    """Return the migrated database of a service, and the job that it was at."""
    path = restore(name, folder)

    async def bring() -> str:
        async with opened(path) as database:
            await migrate(database, SERVICES[name])
            return (await SqlJobStore(database).list(KINDS[name]))[0][0].job_id

    job_id = asyncio.run(bring())
    return Database.open(f"sqlite+aiosqlite:///{path}"), job_id


async def point_at(inputs: TrainingInputs, database: Database, job_id: str) -> None:
    """Let the stored inputs of a training job name bytes that are there."""
    key = {"job_id": job_id}
    async with database.session() as session:
        stored = await session.scalar(text("SELECT inputs FROM training_inputs WHERE training_job_id = :job_id"), key)
        document = json.loads(stored or "")
        document |= {"base": asdict(inputs.base), "dataset": asdict(inputs.dataset)}
        change = text("UPDATE training_inputs SET inputs = :inputs WHERE training_job_id = :job_id")
        await session.execute(change, {"inputs": json.dumps(document), **key})


def test_a_training_job_that_the_release_before_was_at_goes_on_to_its_model(tmp_path: Path) -> None:
    database, job_id = brought_forward("trainer", tmp_path)
    bench = training.Bench(tmp_path / "machine", database=database)
    bench.backend.script = [(lambda plan: bench.train_to(plan, 10, 20), None)]

    async def scenario() -> None:
        await point_at(bench.registry.inputs, database, job_id)
        job = await bench.finish(job_id)
        assert (job.state, job.epoch, job.error) == (JobState.SUCCEEDED, 2, None)
        # By its times it had been worked on for 6.85 s when it was copied.
        assert job.worked_seconds is not None and job.worked_seconds > 6.8
        attempts = (await bench.usecases.resource.get(job_id)).attempts
        assert [attempt.attempt for attempt in attempts] == [1, 2]
        assert (len(bench.backend.plans), bench.registry.kinds) == (1, ["adapter"])
        await database.close()

    asyncio.run(scenario())


def test_a_run_that_the_release_before_was_at_asks_what_is_missing_and_keeps_its_answers(tmp_path: Path) -> None:
    database, job_id = brought_forward("test_runner", tmp_path)
    cases = get_profile("text").suites()[0].cases
    jobs, runs = SqlJobStore(database), SqlRunStore(database)
    bench = testing.Bench(testing.FakeBackend(), jobs=jobs, store=runs, cases=cases)

    async def scenario() -> None:
        kept = await bench.transcripts(job_id)
        job = await bench.work(job_id)
        assert (job.state, job.epoch, job.error) == (JobState.SUCCEEDED, 2, None)
        answers = await bench.transcripts(job_id)
        assert answers[: len(kept)] == kept and len(kept) == 8
        assert {answer.case_id for answer in answers} == {case.case_id for case in cases} and len(answers) == 24
        await database.close()

    asyncio.run(scenario())
