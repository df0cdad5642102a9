"""Empty databases for the suites over stores: schemas are made once, tests get copies of them or empty their rows."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from services.chassis.database import Database
from services.chassis.database.migration import migrate
from tests.contract.postgres import require_postgres, run_postgres

# Opens an empty database of a kind, "sqlite" or "postgresql", with the schema of a folder of migrations.
OpenDatabase = Callable[[str, Path], Awaitable[Database]]


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    require_postgres()
    with run_postgres() as url:
        yield url


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, Path], str]:
    """The URLs of the databases that hold a schema, by kind and migrations."""
    return {}


@pytest.fixture
async def open_database(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    migrated: dict[tuple[str, Path], str],
) -> AsyncIterator[OpenDatabase]:
    opened: list[Database] = []

    async def create(kind: str, migrations: Path) -> str:
        if kind == "sqlite":
            url = f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('schema')}/state.db"
        else:
            server, name = Database.open(request.getfixturevalue("postgres_url")), f"schema{len(migrated)}"
            async with server.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                await connection.execute(text(f"CREATE DATABASE {name}"))
            await server.close()
            url = request.getfixturevalue("postgres_url").removesuffix("postgres") + name
        database = Database.open(url)
        await migrate(database, migrations)
        await database.close()
        return url

    async def open_empty(kind: str, migrations: Path) -> Database:
        if (kind, migrations) not in migrated:
            migrated[kind, migrations] = await create(kind, migrations)
        url = migrated[kind, migrations]
        if kind == "sqlite":
            shutil.copy(url.removeprefix("sqlite+aiosqlite:///"), tmp_path / "state.db")
            url = f"sqlite+aiosqlite:///{tmp_path}/state.db"
        opened.append(Database.open(url))
        return opened[-1]

    yield open_empty
    for database in opened:
        if not database.is_sqlite:
            await _empty(database)
        await database.close()


async def _empty(database: Database) -> None:
    query = "SELECT string_agg(tablename, ', ') FROM pg_tables WHERE schemaname = 'public' AND tablename <> :version"
    async with database.session() as session:
        tables = await session.scalar(text(query), {"version": "alembic_version"})
        await session.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
