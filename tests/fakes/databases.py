"""SQLite databases that have a service's schema, which is made once and copied."""

import asyncio
import functools
import tempfile
import threading
from pathlib import Path

from services.chassis.database import Database
from services.chassis.database.migration import migrate

_folder = tempfile.TemporaryDirectory(prefix="drillyard-databases-")
_lent: list[Database] = []


def new_database(migrations: Path) -> Database:
    """Return an empty database of its own, until `close_databases` ends the use of all."""
    file = Path(tempfile.mkdtemp(dir=_folder.name)) / "state.db"
    file.write_bytes(_schema(migrations))
    _lent.append(Database.open(f"sqlite+aiosqlite:///{file}"))
    return _lent[-1]


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
