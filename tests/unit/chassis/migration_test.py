from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from services.chassis.application import JOB_MIGRATIONS
from services.chassis.database import Database
from services.chassis.database.migration import migrate
from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import SqlJobStore
from services.chassis.jobs.tables import METADATA

SERVICES = Path(__file__).resolve().parents[3] / "services"
REVISION = """
from alembic import op
import sqlalchemy as sa
revision, down_revision = {revision!r}, {down!r}

def upgrade():
    {body}

def downgrade():
    pass
"""


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database.open(f"sqlite+aiosqlite:///{tmp_path}/state.db")
    yield database
    await database.close()


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "__init__.py").touch()
    write(folder, "0001", None, "op.create_table('first', sa.Column('id', sa.Integer, primary_key=True))")
    return folder


def write(folder: Path, revision: str, down: str | None, body: str) -> None:
    (folder / f"{revision}_x.py").write_text(REVISION.format(revision=revision, down=down, body=body))


async def tables(database: Database) -> set[str]:
    async with database.engine.connect() as connection:
        names: list[str] = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    return set(names)


async def test_a_new_database_gets_every_revision_and_a_second_run_changes_nothing(
    database: Database, scripts: Path
) -> None:
    write(scripts, "0002", "0001", "op.create_table('second', sa.Column('id', sa.Integer, primary_key=True))")
    for _ in range(2):
        await migrate(database, scripts)
        assert await tables(database) == {"alembic_version", "first", "second"}


async def test_an_older_database_is_brought_forward(database: Database, scripts: Path) -> None:
    await migrate(database, scripts)
    write(scripts, "0002", "0001", "op.add_column('first', sa.Column('note', sa.String))")
    await migrate(database, scripts)
    async with database.session() as session:
        await session.execute(text("INSERT INTO first (id, note) VALUES (1, 'kept')"))


async def test_a_schema_newer_than_the_code_is_refused(database: Database, scripts: Path) -> None:
    await migrate(database, scripts)
    async with database.session() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = '0099'"))
    with pytest.raises(FailedPrecondition, match=r"0099.*newer"):
        await migrate(database, scripts)


async def test_a_migration_that_fails_half_way_leaves_the_database_as_it_was(database: Database, scripts: Path) -> None:
    await migrate(database, scripts)
    write(scripts, "0002", "0001", "op.create_table('half', sa.Column('id', sa.Integer)); raise KeyError('killed')")
    with pytest.raises(KeyError):
        await migrate(database, scripts)
    assert await tables(database) == {"alembic_version", "first"}
    write(scripts, "0002", "0001", "op.create_table('whole', sa.Column('id', sa.Integer))")
    await migrate(database, scripts)
    assert await tables(database) == {"alembic_version", "first", "whole"}


async def test_the_migrated_job_tables_are_those_of_the_code(database: Database) -> None:
    await migrate(database, JOB_MIGRATIONS)
    async with database.engine.connect() as connection:
        found = await connection.run_sync(
            lambda sync: {
                name: {column["name"] for column in inspect(sync).get_columns(name)} for name in METADATA.tables
            }
        )
    assert found == {name: {column.name for column in table.columns} for name, table in METADATA.tables.items()}


async def test_a_database_of_an_earlier_release_gets_what_its_jobs_lack(tmp_path: Path) -> None:
    database = Database.open(f"sqlite+aiosqlite:///{tmp_path}/state.db")
    await migrate(database, JOB_MIGRATIONS)
    job = await SqlJobStore(database).create("drill", "r", {})
    async with database.session() as session:
        for change in (
            "DROP INDEX ix_jobs_kind_ordinal",
            "ALTER TABLE jobs DROP COLUMN num_barren_holds",
            "ALTER TABLE jobs DROP COLUMN furthest",
            "UPDATE alembic_version SET version_num = '0001_jobs'",
        ):
            await session.execute(text(change))
    await migrate(database, JOB_MIGRATIONS)
    assert await SqlJobStore(database).get(job.job_id) == job
    await database.close()


def test_every_revision_is_named_as_its_file() -> None:
    # A database at the newest one is known by that name, without reading any file.
    files = list(SERVICES.glob("*/**/migrations/[0-9]*.py"))
    assert len(files) > 5
    assert not [file for file in files if f'revision = "{file.stem}"' not in file.read_text(encoding="utf-8")]
