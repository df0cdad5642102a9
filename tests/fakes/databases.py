"""SQLite databases that have a service's schema, as cheap as can be: schemas are copied, and engines used again."""

from __future__ import annotations

import asyncio
import functools
import tempfile
import threading
from collections import defaultdict
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from services.chassis.database import Database
from services.chassis.database.migration import migrate

_folder = tempfile.TemporaryDirectory(prefix="drillyard-databases-")
# An engine keeps what it has compiled, which costs more than all else.
_free: dict[Path, list[tuple[AsyncEngine, Path]]] = defaultdict(list)
_lent: list[tuple[Path, AsyncEngine, Path]] = []


def new_database(migrations: Path) -> Database:
    """Return an empty database of its own, until `take_back` ends the use of all."""
    engine, file = _free[migrations].pop() if _free[migrations] else _new_engine()
    file.write_bytes(_schema(migrations))
    _lent.append((migrations, engine, file))
    return Database(engine, place=_folder.name)


def take_back() -> None:
    """Close what was lent; for the end of a test, where no loop runs."""
    while _lent:
        migrations, engine, file = _lent.pop()
        asyncio.run(engine.dispose())
        _free[migrations].append((engine, file))


def _new_engine() -> tuple[AsyncEngine, Path]:
    file = Path(tempfile.mkdtemp(dir=_folder.name)) / "state.db"
    return Database.open(f"sqlite+aiosqlite:///{file}").engine, file


@functools.cache
def _schema(migrations: Path) -> bytes:
    engine, file = _new_engine()

    async def make() -> None:
        await migrate(Database(engine), migrations)
        await engine.dispose()

    # Tests have a running loop, in which a function cannot wait.
    thread = threading.Thread(target=lambda: asyncio.run(make()))
    thread.start()
    thread.join()
    return file.read_bytes()
