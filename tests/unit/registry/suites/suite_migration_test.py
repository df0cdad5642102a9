"""A database of the release before suites told where they come from."""

from datetime import UTC, datetime
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, insert, text

from services.chassis.database import Database
from services.chassis.database.migration import migrate
from services.chassis.jobs.tables import METADATA as JOB_METADATA
from services.protocols.suites.suite import UNKNOWN
from services.registry.__main__ import MIGRATIONS
from services.registry.domain.identifiers import VersionRef
from services.registry.store.tables import METADATA, TEST_SUITE_VERSIONS
from services.registry.store.test_suites import SqlTestSuiteStore

OLD_ROW = {
    "version_id": "roo_xml/mine@1",
    "owner_id": "roo_xml/mine",
    "version": 1,
    "artifact_uri": "file:///x",
    "artifact_digest": "sha256:x",
    "artifact_size_bytes": 1,
    "produced_by": "upload",
    "create_time": datetime(2026, 1, 1, tzinfo=UTC),
    "num_cases": 3,
    "built_in": False,
}


async def test_its_suites_are_kept_and_their_origin_is_unknown(tmp_path: Path) -> None:
    database = Database.open(f"sqlite+aiosqlite:///{tmp_path}/state.db")
    await migrate(database, MIGRATIONS)
    async with database.session() as session:
        for column in ("origin", "workspace_id", "caller"):
            await session.execute(text(f"ALTER TABLE test_suite_versions DROP COLUMN {column}"))
        await session.execute(text("UPDATE alembic_version SET version_num = '0001_registry'"))
        await session.execute(insert(TEST_SUITE_VERSIONS).values(OLD_ROW))
    await migrate(database, MIGRATIONS)
    found = await SqlTestSuiteStore(database).get_version(VersionRef("roo_xml/mine", 1))
    assert found is not None
    assert (found.num_cases, found.provenance, found.imported_from) == (3, UNKNOWN, "")
    assert (found.workspace_id, found.caller) == ("default", "")
    await database.close()


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
