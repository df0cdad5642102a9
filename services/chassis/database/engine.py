"""A service's own database: SQLite in the data folder, or PostgreSQL by URL."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from services.chassis.database import sqlite
from services.chassis.database.lease import check_lease
from services.chassis.errors import DatabaseAway, DatabaseDamaged, DatabaseFull, InvalidArgument, ServiceError
from services.chassis.status import no_space

LEASE_SECONDS = 30.0


class Database:
    """One service's database. Sessions are transactions: committed at the end, rolled back on an error.

    On SQLite one session writes at a time, and this process holds `<file>.lock` until `close`.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        lock_fd: int | None = None,
        place: str = "the database",
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self.engine = engine
        self._lease_seconds = lease_seconds
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._lock_fd = lock_fd
        self._place = place
        self._damage = ""
        self._writing = asyncio.Lock()
        self._writer: asyncio.Task[Any] | None = None
        self._binds = {
            read_only: engine.execution_options(**{sqlite.READ_ONLY: read_only}) for read_only in (True, False)
        }

    @classmethod
    def open(cls, url: str, *, lease_seconds: float = LEASE_SECONDS) -> Database:
        """Open the database at an SQLAlchemy URL without connecting yet; SQLite folders are made.

        Nothing waits for it longer than `lease_seconds`: a third for a lock, a connection or a statement's answer.

        Raises:
            FailedPrecondition: Another process holds the SQLite file, or it lies on a network filesystem.
            InvalidArgument: The URL is not one of SQLite or PostgreSQL.
        """
        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError) as error:
            raise InvalidArgument("The database URL cannot be read.", _URL_HINT) from error
        if parsed.get_backend_name() == "sqlite":
            return cls._open_sqlite(parsed.set(drivername="sqlite+aiosqlite").database or "", lease_seconds)
        if parsed.get_backend_name() != "postgresql":
            raise InvalidArgument(f"Databases of kind {parsed.get_backend_name()} are not supported.", _URL_HINT)
        engine = create_async_engine(
            parsed.set(drivername="postgresql+psycopg"),
            connect_args=_postgresql_limits(lease_seconds),
            pool_pre_ping=True,
            pool_timeout=lease_seconds / 3,
            json_serializer=dump_json,
            hide_parameters=True,
        )
        place = f"PostgreSQL at {parsed.host or 'the local socket'}"
        return cls(engine, place=place, lease_seconds=lease_seconds)

    @classmethod
    def _open_sqlite(cls, name: str, lease_seconds: float) -> Database:
        if name in ("", ":memory:"):
            raise InvalidArgument("An SQLite database needs a file.", _URL_HINT)
        path = Path(name).absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        sqlite.refuse_network_filesystem(path.parent)
        lock_fd = sqlite.lock(path)
        engine = create_async_engine(
            URL.create("sqlite+aiosqlite", database=str(path)),
            connect_args={"async_creator_fn": sqlite.SteadyConnection.to},
            json_serializer=dump_json,
            hide_parameters=True,
            pool_size=5,
            max_overflow=5,
            pool_timeout=lease_seconds / 3,
        )
        event.listen(engine.sync_engine, "connect", partial(sqlite.configure, lease_seconds / 3))
        event.listen(engine.sync_engine, "begin", sqlite.begin)
        return cls(engine, lock_fd=lock_fd, place=str(path.parent))

    @asynccontextmanager
    async def session(self, *, is_limited: bool = True) -> AsyncIterator[AsyncSession]:
        """Open a read-write transaction, which may take as long as a lease unless it is not `is_limited`.

        Raises:
            DatabaseAway: The database does not answer, or stayed locked.
            DatabaseFull: The disk is full or the database is read-only.
            LeaseOver: This task is that of a job which this process may not go on with.
        """
        check_lease()
        if not self.is_sqlite:
            async with self._transaction(read_only=False, is_limited=is_limited) as session:
                yield session
            return
        task = asyncio.current_task()
        if self._writer is task:
            raise RuntimeError("A session is open in this task; use that one instead of a second.")
        async with self._writing:
            self._writer = task
            try:
                async with self._transaction(read_only=False) as session:
                    yield session
            finally:
                self._writer = None

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Open a transaction that only reads and never waits for a writer."""
        async with self._transaction(read_only=True) as session:
            yield session

    async def ping(self) -> None:
        """Return when the database answers.

        Raises:
            DatabaseAway: It does not.
            DatabaseDamaged: Its file was found to be damaged, by this or any other call since it was opened.
        """
        if self._damage:
            raise self._damaged()
        async with self.reading() as session:
            await session.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close all connections and give up the file lock."""
        await self.engine.dispose()
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    @asynccontextmanager
    async def _transaction(self, *, read_only: bool, is_limited: bool = True) -> AsyncIterator[AsyncSession]:
        session = AsyncSession(self._binds[read_only], expire_on_commit=False)
        # What SQLite has begun ends by itself and is waited for; PostgreSQL may be frozen.
        seconds = None if self.is_sqlite or not is_limited else self._lease_seconds
        try:
            async with asyncio.timeout(seconds), self._ended(session, seconds):
                yield session
        except DBAPIError as error:
            raise self._translate(error) from error
        except (PoolTimeoutError, TimeoutError) as error:
            raise self._away() from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise no_space(self._place, DatabaseFull) from error
            raise

    @asynccontextmanager
    async def _ended(self, session: AsyncSession, seconds: float | None) -> AsyncIterator[None]:
        async def end(work: Coroutine[Any, Any, None]) -> None:
            await sqlite.to_the_end(asyncio.wait_for(work, seconds and seconds / 3))

        try:
            yield
            await end(session.commit())
        except BaseException:
            # Of a connection that broke the first error tells more.
            with suppress(DBAPIError, TimeoutError):
                await end(session.rollback())
            raise
        finally:
            await end(session.close())

    def _translate(self, error: DBAPIError) -> ServiceError | DBAPIError:
        reason = str(error.orig).lower()
        if "disk is full" in reason or "disk full" in reason or "no space left" in reason:
            return no_space(self._place, DatabaseFull)
        if "readonly database" in reason or "read-only" in reason:
            return no_space(f"{self._place}, which cannot be written,", DatabaseFull)
        state = getattr(error.orig, "sqlstate", "")
        if sqlite.is_damage(error.orig) or state in _DAMAGED:
            self._damage = reason.partition("\n")[0]
            return self._damaged()
        if "is locked" in reason or "is busy" in reason:
            return DatabaseAway(f"The database in {self._place} stayed locked.", "Try again in a few seconds.")
        if type(error).__name__ == "DataError":
            return InvalidArgument("A value cannot be stored: it holds NUL or is out of range.", "Send plain text.")
        if (
            state == _IDLE_IN_TRANSACTION
            or error.connection_invalidated
            or type(error).__name__ in ("OperationalError", "InterfaceError")
        ):
            return self._away()
        return _without_values(error)

    def _damaged(self) -> DatabaseDamaged:
        mend = "put a backup of the file in its place" if self.is_sqlite else "restore a backup, or REINDEX an index"
        return DatabaseDamaged(
            f"The database in {self._place} is damaged ({self._damage}).",
            f"Stop the service, {mend}, and start it again.",
        )

    def _away(self) -> DatabaseAway:
        return DatabaseAway(f"The database ({self._place}) does not answer.", "Try again when it is back.")


class EncodedJson(str):
    """The value of a JSON column that was encoded before, in another thread since it is long."""


def dump_json(value: object) -> str:
    """Return JSON that every database accepts.

    Raises:
        ValueError: The value holds NaN or an infinity.
    """
    return value if isinstance(value, EncodedJson) else json.dumps(value, allow_nan=False, separators=(",", ":"))


def _without_values(error: DBAPIError) -> DBAPIError:
    """Cut the lines in which PostgreSQL repeats the values of a row."""
    for cause in (error.orig, error):
        if cause is not None and cause.args:
            cause.args = (str(cause.args[0]).partition("\n")[0], *cause.args[1:])
    return error


def _postgresql_limits(lease_seconds: float) -> dict[str, Any]:
    milliseconds = int(lease_seconds * 1000 / 3)
    settings = {
        # A process that froze in a transaction would keep its row locks, and with them its jobs from their next owner.
        "idle_in_transaction_session_timeout": min(milliseconds, _MAX_IDLE_IN_TRANSACTION_MS),
        "statement_timeout": milliseconds,
        "lock_timeout": milliseconds,
    }
    return {
        "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        # Of less than two seconds libpq makes two.
        "connect_timeout": max(2, milliseconds // 1000),
        "tcp_user_timeout": milliseconds,
        "keepalives_idle": max(1, milliseconds // 2000),
        "keepalives_interval": max(1, milliseconds // 4000),
        "keepalives_count": 2,
    }


_MAX_IDLE_IN_TRANSACTION_MS = 5_000
# PostgreSQL's code for a connection that it closed for that limit.
_IDLE_IN_TRANSACTION = "25P03"
# Its codes for rows and for an index that are not as it left them.
_DAMAGED = ("XX001", "XX002")
_URL_HINT = "Use sqlite+aiosqlite:///FILE or postgresql+psycopg://USER@HOST/NAME."
