"""Replicas that start together on one PostgreSQL database bring it to the newest schema one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from services import migrate as step
from services.chassis.application import JOB_MIGRATIONS
from services.chassis.database import Database
from services.chassis.database.migration import _ADVISORY_LOCK, migrate
from services.chassis.jobs import SqlJobStore
from tests.contract.conftest import OpenDatabase
from tests.machine import PATIENCE_SECONDS

REVISIONS = Path(step.__file__).parent / "registry" / "store" / "migrations"
WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
DATABASE = "migrated_at_once"


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = Database.open(url)
    yield database
    await database.close()


async def make_database(server_url: str) -> str:
    async with opened(server_url) as server:
        engine = server.engine.execution_options(isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            await connection.execute(text(f"CREATE DATABASE {DATABASE}"))
    return server_url.removesuffix("postgres") + DATABASE


async def test_replicas_that_start_together_do_not_both_migrate(postgres_url: str) -> None:
    url = await make_database(postgres_url)
    async with opened(url) as holder, opened(url) as first, opened(url) as second:
        async with holder.session() as session:
            await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
            both = [asyncio.ensure_future(migrate(database, REVISIONS)) for database in (first, second)]
            # Both are held where one of them will be while the other migrates.
            async with asyncio.timeout(PATIENCE_SECONDS):
                while await session.scalar(text(WAITING)) != len(both):
                    assert not any(task.done() for task in both)
        await asyncio.gather(*both)
        async with first.reading() as session:
            versions = (await session.execute(text("SELECT version_num FROM alembic_version"))).scalars().all()
        assert versions == [max(path.stem for path in REVISIONS.glob("[0-9]*.py"))]


async def test_a_postgresql_of_the_release_before_gets_what_its_jobs_lack(open_database: OpenDatabase) -> None:
    database = await open_database("postgresql", JOB_MIGRATIONS)
    job = await SqlJobStore(database).create("drill", "r", {})
    async with database.session() as session:
        await session.execute(text("ALTER TABLE jobs DROP COLUMN worked_seconds"))
        await session.execute(text("UPDATE alembic_version SET version_num = '0002_holds'"))
    await migrate(database, JOB_MIGRATIONS)
    assert await SqlJobStore(database).get(job.job_id) == job


def test_the_step_before_a_service_migrates_its_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REGISTRY_DATA_DIR", str(tmp_path))
    assert [step.main(["registry"]), step.main(["registry"])] == [0, 0]
    assert (tmp_path / "registry" / "state.db").exists()
    monkeypatch.setenv("REGISTRY_DATABASE_URL", "mysql://nowhere")
    assert step.main(["registry"]) == 2
    assert "registry: Databases of kind mysql are not supported." in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        step.main(["gateway"])
