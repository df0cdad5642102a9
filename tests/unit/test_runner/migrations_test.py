"""The migrations make the tables that the store uses."""

from __future__ import annotations

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData

from services.chassis.database import Database
from services.chassis.jobs.tables import METADATA as JOB_METADATA
from services.chassis.migration import migrate
from services.test_runner.store.sql import MIGRATIONS
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
