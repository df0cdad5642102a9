"""SQLite as a service's database: one process, one writer at a time, and nothing that a cancelled task tears."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import sqlite3
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite
from sqlalchemy import Connection

from services.chassis.errors import FailedPrecondition

T = TypeVar("T")

READ_ONLY = "read_only"
_NETWORK_FILESYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smbfs", "smb3", "ceph", "lustre", "gpfs", "beegfs", "afs", "ocfs2", "gfs2"}
    | {"fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs"}
)


class SteadyConnection(aiosqlite.Connection):
    """A connection that a cancelled task leaves whole: what SQLite has begun is awaited before the task ends.

    Else the task's rollback would overtake its own statement, and a connection that is closed twice waits for ever.
    """

    @classmethod
    def to(cls, path: str, **options: Any) -> SteadyConnection:
        """Return a connection to a file that has yet to be opened."""
        connection = cls(lambda: sqlite3.connect(path, **options), iter_chunk_size=64)
        connection._thread.daemon = True
        return connection

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await to_the_end(super()._execute(fn, *args, **kwargs))  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        """Roll back and close; a second call does nothing."""
        await to_the_end(self._roll_back_and_close())

    def stop(self) -> asyncio.Future[Any] | None:
        """Roll back and close without waiting for it; for a connection whose loop has ended."""
        if not self._running:
            return None
        self._tx.put_nowait((None, self._roll_back))
        return super().stop()

    async def _roll_back_and_close(self) -> None:
        # The driver's ValueError: another call has closed it, or stopped it, meanwhile.
        with contextlib.suppress(ValueError):
            if self._running and self._connection is not None:
                await self._execute(self._roll_back)
            await super().close()

    def _roll_back(self) -> None:
        # A closed connection keeps its locks for as long as anything still refers to one of its statements.
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.rollback()


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns, once it has ended; a cancel of this task waits for that."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({task})
        if not task.cancelled():
            # Nobody else takes note of how it failed, and asyncio would log it as forgotten.
            task.exception()
        raise


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


def lock(path: Path) -> int:
    """Take the lock file beside the database, and return its descriptor.

    Raises:
        FailedPrecondition: Another process has it.
    """
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


def configure(busy_seconds: float, connection: Any, _record: object) -> None:
    """Set up a new connection, which waits for a lock for `busy_seconds`."""
    # The driver's own implicit transactions would start too late to hold the write lock; `begin` starts them.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {int(busy_seconds * 1000)}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def is_damage(error: BaseException | None) -> bool:
    """Whether SQLite says that the file is none of its own, or not as it left it."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def begin(connection: Connection) -> None:
    """Begin a transaction, with the write lock unless the connection's option `READ_ONLY` is set."""
    read_only = connection.get_execution_options().get(READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
