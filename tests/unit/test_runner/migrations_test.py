"""The migrations make the tables that the store uses."""

from __future__ import annotations

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, text

from services.chassis.database import Database
from services.chassis.database.migration import migrate
from services.chassis.jobs.tables import METADATA as JOB_METADATA
from services.test_runner.store.sql import MIGRATIONS, SqlRunStore
from services.test_runner.store.tables import METADATA


async def test_migrations_and_tables_agree(tmp_path: Path) -> None:
    database = Database.open(f"sqlite+aiosqlite:///{tmp_path}/state.db")
    await migrate(database, MIGRATIONS)
    expected = MetaData()
    for table in (*METADATA.sorted_tables, *JOB_METADATA.sorted_tables):
        table.to_metadata(expected)

    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), expected))

    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await database.close()


def step(connection: Connection, name: str) -> None:
    """Go one revision up to `name`."""
    script = ScriptDirectory(str(MIGRATIONS), version_locations=[str(MIGRATIONS)])
    module = script.get_revision(name).module
    with Operations.context(MigrationContext.configure(connection)):
        module.upgrade()


async def test_transcripts_of_an_earlier_release_stay_readable(tmp_path: Path) -> None:
    database = Database.open(f"sqlite+aiosqlite:///{tmp_path}/state.db")
    early = (
        "INSERT INTO transcripts VALUES ('run-1', 1, 'run-1-1', 'c', 0, "
        '\'[["user", "hi"], ["assistant", "ho"]]\', \'5 6\', \'stop\', 7, 3, 0.1, 0.2)'
    )
    async with database.session() as session:
        connection = await session.connection()
        await connection.run_sync(step, "0001_test_runs")
        await session.execute(text("INSERT INTO test_runs VALUES ('run-1', '{}', '{}', 1, 2)"))
        await session.execute(text(early))
        await connection.run_sync(step, "0002_turns")
        await session.execute(text("UPDATE transcripts SET finish_reason = 'backend_fault'"))
        await connection.run_sync(step, "0003_unanswered")
        assert (await session.execute(text("SELECT num_unanswered FROM test_runs"))).scalar_one() == 1
    (found,) = await SqlRunStore(database).list_transcripts("run-1", 0, 10)
    assert (found.turns, found.stop, found.token_ids) == ((), "", (5, 6))
    assert [message.content for message in found.answers] == ["ho"]
    await database.close()
