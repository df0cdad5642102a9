"""A service's own database: SQLite in the data folder, or PostgreSQL by URL."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite
from sqlalchemy import URL, Connection, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from services.chassis.errors import FailedPrecondition, InvalidArgument, ServiceError, Unavailable
from services.chassis.status import no_space

T = TypeVar("T")

_BUSY_SECONDS = 15
_NETWORK_FILESYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smbfs", "smb3", "ceph", "lustre", "gpfs", "beegfs", "afs", "ocfs2", "gfs2"}
    | {"fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs"}
)
_READ_ONLY = "read_only"


class Database:
    """One service's database. Sessions are transactions: committed at the end, rolled back on an error.

    On SQLite one session writes at a time, and this process holds `<file>.lock` until `close`.
    """

    def __init__(self, engine: AsyncEngine, *, lock_fd: int | None = None, place: str = "the database") -> None:
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._lock_fd = lock_fd
        self._place = place
        self._writing = asyncio.Lock()
        self._writer: asyncio.Task[Any] | None = None
        self._binds = {read_only: engine.execution_options(**{_READ_ONLY: read_only}) for read_only in (True, False)}

    @classmethod
    def open(cls, url: str) -> Database:
        """Open the database at an SQLAlchemy URL without connecting yet; SQLite folders are made.

        Raises:
            FailedPrecondition: Another process holds the SQLite file, or it lies on a network filesystem.
            InvalidArgument: The URL is not one of SQLite or PostgreSQL.
        """
        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError) as error:
            raise InvalidArgument("The database URL cannot be read.", _URL_HINT) from error
        if parsed.get_backend_name() == "sqlite":
            return cls._open_sqlite(parsed.set(drivername="sqlite+aiosqlite").database or "")
        if parsed.get_backend_name() != "postgresql":
            raise InvalidArgument(f"Databases of kind {parsed.get_backend_name()} are not supported.", _URL_HINT)
        engine = create_async_engine(
            parsed.set(drivername="postgresql+psycopg"),
            connect_args={"options": f"-c idle_in_transaction_session_timeout={_MAX_IDLE_IN_TRANSACTION_MS}"},
            pool_pre_ping=True,
            json_serializer=dump_json,
        )
        return cls(engine, place=f"PostgreSQL at {parsed.host or 'the local socket'}")

    @classmethod
    def _open_sqlite(cls, name: str) -> Database:
        if name in ("", ":memory:"):
            raise InvalidArgument("An SQLite database needs a file.", _URL_HINT)
        path = Path(name).absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        refuse_network_filesystem(path.parent)
        lock_fd = _lock(path)
        engine = create_async_engine(
            URL.create("sqlite+aiosqlite", database=str(path)),
            connect_args={"async_creator_fn": _SteadyConnection.to},
            json_serializer=dump_json,
            pool_size=5,
            max_overflow=5,
        )
        event.listen(engine.sync_engine, "connect", _configure_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return cls(engine, lock_fd=lock_fd, place=str(path.parent))

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """Open a read-write transaction.

        Raises:
            Unavailable: The database does not answer, or stayed locked.
            ResourceExhausted: The disk is full or the database is read-only.
        """
        if not self.is_sqlite:
            async with self._transaction(read_only=False) as session:
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
            Unavailable: It does not.
        """
        async with self.reading() as session:
            await session.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close all connections and give up the file lock."""
        await self.engine.dispose()
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    @asynccontextmanager
    async def _transaction(self, *, read_only: bool) -> AsyncIterator[AsyncSession]:
        try:
            async with self._ended(AsyncSession(self._binds[read_only], expire_on_commit=False)) as session:
                yield session
        except DBAPIError as error:
            raise self._translate(error) from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise no_space(self._place) from error
            raise

    @asynccontextmanager
    async def _ended(self, session: AsyncSession) -> AsyncIterator[AsyncSession]:
        try:
            yield session
            await _to_the_end(session.commit())
        except BaseException:
            await _to_the_end(session.rollback())
            raise
        finally:
            await _to_the_end(session.close())

    def _translate(self, error: DBAPIError) -> ServiceError | DBAPIError:
        reason = str(error.orig).lower()
        if "disk is full" in reason or "disk full" in reason or "no space left" in reason:
            return no_space(self._place)
        if "readonly database" in reason or "read-only" in reason:
            return no_space(f"{self._place}, which cannot be written,")
        if "is locked" in reason or "is busy" in reason:
            return Unavailable(f"The database in {self._place} stayed locked.", "Try again in a few seconds.")
        if type(error).__name__ == "DataError":
            return InvalidArgument("A value cannot be stored: it holds NUL or is out of range.", "Send plain text.")
        if error.connection_invalidated or type(error).__name__ in ("OperationalError", "InterfaceError"):
            return Unavailable(f"The database ({self._place}) does not answer.", "Try again when it is back.")
        return error


class _SteadyConnection(aiosqlite.Connection):
    """A connection that a cancelled task leaves whole: what SQLite has begun is awaited before the task ends.

    Else the task's rollback would overtake its own statement, and a connection that is closed twice waits for ever.
    """

    @classmethod
    def to(cls, path: str, **options: Any) -> _SteadyConnection:
        connection = cls(lambda: sqlite3.connect(path, **options), iter_chunk_size=64)
        connection._thread.daemon = True
        return connection

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await _to_the_end(super()._execute(fn, *args, **kwargs))  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        await _to_the_end(self._roll_back_and_close())

    def stop(self) -> asyncio.Future[Any] | None:
        if not self._running:
            return None
        self._tx.put_nowait((None, self._roll_back))
        return super().stop()

    async def _roll_back_and_close(self) -> None:
        if self._running and self._connection is not None:
            await self._execute(self._roll_back)
        await super().close()

    def _roll_back(self) -> None:
        # A closed connection keeps its locks for as long as anything still refers to one of its statements.
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.rollback()


async def _to_the_end(work: Coroutine[Any, Any, T]) -> T:
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({task})
        raise


def dump_json(value: object) -> str:
    """Return JSON that every database accepts.

    Raises:
        ValueError: The value holds NaN or an infinity.
    """
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def refuse_network_filesystem(folder: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> None:
    """Return when `folder` is on a local filesystem.

    Raises:
        FailedPrecondition: SQLite's locks do not hold there.
    """
    if not mountinfo.exists():
        return
    nearest = ""
    kind = ""
    for line in mountinfo.read_text().splitlines():
        left, _, right = line.partition(" - ")
        mount = left.split(" ")[4].encode().decode("unicode_escape")
        if folder.resolve().is_relative_to(mount) and len(mount) >= len(nearest):
            nearest, kind = mount, right.split(" ")[0]
    if kind in _NETWORK_FILESYSTEMS:
        raise FailedPrecondition(
            f"The folder {folder} is on a network filesystem ({kind}), where SQLite can lose data.",
            "Use a local disk, or PostgreSQL by the service's DATABASE_URL variable.",
        )


def _lock(path: Path) -> int:
    lock_path = path.with_name(path.name + ".lock")
    fd = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        raise FailedPrecondition(
            f"Another process (pid {holder}) uses the database {path}.",
            "Stop it, use another data folder, or use PostgreSQL for more than one replica.",
        ) from error
    os.ftruncate(fd, 0)
    os.pwrite(fd, str(os.getpid()).encode("ascii"), 0)
    return fd


def _configure_sqlite(connection: Any, _record: object) -> None:
    # The driver's own implicit transactions would start too late to hold the write lock; `_begin_sqlite` starts them.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {_BUSY_SECONDS * 1000}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    read_only = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


# A process that froze in a transaction would keep its row locks, and with them its jobs from their next owner.
_MAX_IDLE_IN_TRANSACTION_MS = 5_000
_URL_HINT = "Use sqlite+aiosqlite:///FILE or postgresql+psycopg://USER@HOST/NAME."
