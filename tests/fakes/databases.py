"""SQLite databases that have a service's schema, which is made once and copied."""

from __future__ import annotations

import asyncio
import functools
import itertools
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.chassis.database import Database, lease
from services.chassis.database.migration import migrate
from services.chassis.errors import DatabaseAway

Transaction = Callable[..., AbstractAsyncContextManager[Any]]

_folder = tempfile.TemporaryDirectory(prefix="drillyard-databases-")
_lent: list[Database] = []


def new_database(migrations: Path) -> Database:
    """Return an empty database of its own, until `close_databases` ends the use of all."""
    file = Path(tempfile.mkdtemp(dir=_folder.name)) / "state.db"
    file.write_bytes(_schema(migrations))
    _lent.append(Database.open(f"sqlite+aiosqlite:///{file}"))
    return _lent[-1]


def break_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make transactions of jobs on all that is lent fail by turns: before they begin, and after they were kept."""
    monkeypatch.setattr("services.chassis.database.lease._FIRST_PAUSE_SECONDS", 0.001)
    for database in _lent:
        monkeypatch.setattr(database, "_transaction", breaking(database._transaction))


def breaking(transaction: Transaction) -> Transaction:
    """Return transactions that fail by turns within jobs."""
    turns = itertools.cycle(("begins", "fails", "begins", "loses its answer"))

    @asynccontextmanager
    async def broken(**options: bool) -> AsyncIterator[Any]:
        turn = next(turns) if lease._LEASE.get() else "begins"
        if turn == "fails":
            raise DatabaseAway("The database does not answer.")
        async with transaction(**options) as session:
            yield session
        if turn == "loses its answer":
            raise DatabaseAway("The database does not answer.")

    return broken


def close_databases() -> None:
    """Close what was lent; for the end of a test, where no loop runs."""
    while _lent:
        asyncio.run(_lent.pop().close())


@functools.cache
def _schema(migrations: Path) -> bytes:
    file = Path(tempfile.mkdtemp(dir=_folder.name)) / "state.db"

    async def make() -> None:
        database = Database.open(f"sqlite+aiosqlite:///{file}")
        await migrate(database, migrations)
        await database.close()

    # Tests have a running loop, in which a function cannot wait.
    thread = threading.Thread(target=lambda: asyncio.run(make()))
    thread.start()
    thread.join()
    return file.read_bytes()
