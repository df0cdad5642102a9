import asyncio
import gc
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg.errors
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, InternalError

from services.chassis.application import JOB_MIGRATIONS
from services.chassis.database import Database, refuse_network_filesystem
from services.chassis.database.migration import migrate
from services.chassis.database.sqlite import SteadyConnection, to_the_end
from services.chassis.errors import DatabaseAway, FailedPrecondition, InvalidArgument, ResourceExhausted, Unavailable
from services.chassis.jobs import SqlJobStore, fence
from tests.machine import PATIENCE_SECONDS


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database.open(f"sqlite+aiosqlite:///{tmp_path}/state.db")
    async with database.session() as session:
        await session.execute(text("CREATE TABLE rows (n INTEGER PRIMARY KEY)"))
    yield database
    await database.close()


async def insert(database: Database, n: int) -> None:
    async with database.session() as session:
        await session.execute(text("INSERT INTO rows VALUES (:n)"), {"n": n})


async def count(database: Database) -> int:
    async with database.reading() as session:
        return int((await session.execute(text("SELECT count(*) FROM rows"))).scalar_one())


async def test_commits_are_on_the_disk_before_they_are_acknowledged(database: Database) -> None:
    async with database.reading() as session:
        pragmas = {
            name: (await session.execute(text(f"PRAGMA {name}"))).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


async def test_a_session_keeps_all_or_nothing(database: Database) -> None:
    with pytest.raises(KeyError):
        async with database.session() as session:
            await session.execute(text("INSERT INTO rows VALUES (1)"))
            raise KeyError("half-way")
    assert await count(database) == 0


async def test_many_writers_take_turns(database: Database) -> None:
    await asyncio.gather(*(insert(database, n) for n in range(50)))
    assert await count(database) == 50


async def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    async with database.session() as session:
        await session.execute(text("INSERT INTO rows VALUES (1)"))
        assert await asyncio.wait_for(count(database), PATIENCE_SECONDS) == 0
    assert await count(database) == 1


async def test_a_session_inside_a_session_is_refused_instead_of_hanging(database: Database) -> None:
    async with database.session():
        with pytest.raises(RuntimeError, match="session is open"):
            await insert(database, 1)
    await insert(database, 1)


async def test_a_read_only_session_cannot_write_unseen(database: Database) -> None:
    with pytest.raises(IntegrityError):
        await insert(database, 1)
        await insert(database, 1)
    assert await count(database) == 1


async def test_a_second_process_is_refused_naming_the_first(database: Database, tmp_path: Path) -> None:
    code = f"from services.chassis.database import Database\nDatabase.open('sqlite+aiosqlite:///{tmp_path}/state.db')"
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": "."},
    )
    assert done.returncode == 1
    assert f"pid {os.getpid()}" in done.stderr
    assert "PostgreSQL" in done.stderr


async def test_the_lock_ends_with_the_database(database: Database, tmp_path: Path) -> None:
    await database.close()
    again = Database.open(f"sqlite+aiosqlite:///{tmp_path}/state.db")
    assert await count(again) == 0
    await again.close()


async def keep_writing(database: Database) -> None:
    while True:
        async with database.session() as session:
            await session.execute(text("INSERT INTO rows DEFAULT VALUES"))
            await session.execute(text("SELECT max(n) FROM rows"))


async def keep_reading(database: Database) -> None:
    while True:
        await count(database)


async def test_tasks_that_are_cancelled_anywhere_leave_the_database_whole(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(7)
    for n in range(100):
        tasks = [asyncio.create_task(work(database)) for work in (keep_writing, keep_writing, keep_reading)]
        await asyncio.sleep(chance.random() * 0.02)
        for task in tasks * (1 + n % 2):
            task.cancel()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await insert(database, -n)
        await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await database.close()
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_rows_that_a_jobs_old_owner_writes_are_not_kept(tmp_path: Path) -> None:
    database = Database.open(f"sqlite+aiosqlite:///{tmp_path}/jobs.db")
    await migrate(database, JOB_MIGRATIONS)
    store = SqlJobStore(database)
    await store.create("drill", "r1", {})
    job = await store.claim(["drill"], "a", 30)
    assert job is not None
    async with database.session() as session:
        await session.execute(text("CREATE TABLE units (n INTEGER)"))
        await fence(session, job.job_id, job.epoch)
        await session.execute(text("INSERT INTO units VALUES (1)"))
    await store.take_over_all(["drill"])
    assert await store.claim(["drill"], "b", 30) is not None
    with pytest.raises(FailedPrecondition, match="epoch 2"):
        async with database.session() as session:
            await session.execute(text("INSERT INTO units VALUES (2)"))
            await fence(session, job.job_id, job.epoch)
    async with database.reading() as session:
        assert (await session.execute(text("SELECT n FROM units"))).scalars().all() == [1]
    await database.close()


@pytest.mark.parametrize(
    ("mounts", "refused"),
    [
        ("1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:9 / {here} rw - nfs4 server:/x rw\n", True),
        ("1 0 8:1 / / rw - cifs //server/x rw\n", True),
        ("1 0 0:9 / / rw - nfs4 server:/x rw\n2 1 8:1 / {here} rw shared:1 - ext4 /dev/sda rw\n", False),
        ("1 0 8:1 / / rw - overlay overlay rw\n2 1 0:9 / {here}-other rw - nfs server:/x rw\n", False),
    ],
)
def test_sqlite_on_a_network_filesystem_is_refused(tmp_path: Path, mounts: str, refused: bool) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(mounts.format(here=tmp_path))
    if not refused:
        refuse_network_filesystem(tmp_path, table)
        return
    with pytest.raises(FailedPrecondition, match="PostgreSQL"):
        refuse_network_filesystem(tmp_path, table)


@pytest.mark.parametrize("url", ["", "nonsense", "sqlite://", "sqlite+aiosqlite:///:memory:", "mysql://u@h/x"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(InvalidArgument, match=r"URL|file|supported"):
        Database.open(url)


async def test_a_postgresql_that_is_away_is_unavailable() -> None:
    database = Database.open("postgresql+psycopg://drill:secret@127.0.0.1:1/x")
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1") as caught:
        await database.ping()
    assert "secret" not in str(caught.value)
    await database.close()


async def test_a_database_that_cannot_be_written_is_an_exhausted_resource(database: Database) -> None:
    async with database.session() as session:
        await session.execute(text("PRAGMA query_only = ON"))
    with pytest.raises(ResourceExhausted, match="cannot be written"):
        await insert(database, 1)


@pytest.mark.parametrize("num_turns", range(6))
async def test_a_connection_that_is_stopped_while_it_closes_is_closed(tmp_path: Path, num_turns: int) -> None:
    connection = await SteadyConnection.to(str(tmp_path / "state.db"))
    closing = asyncio.create_task(connection.close())
    for _ in range(num_turns):
        await asyncio.sleep(0)
    connection.stop()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await closing
        await asyncio.to_thread(connection._thread.join)


async def test_an_error_after_a_cancel_is_no_forgotten_one() -> None:
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(str(context["message"])))
    begun, ends = asyncio.Event(), asyncio.Event()

    async def fails() -> None:
        begun.set()
        await ends.wait()
        raise TimeoutError

    waiting = asyncio.create_task(to_the_end(fails()))
    await begun.wait()
    waiting.cancel()
    await asyncio.sleep(0)
    ends.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    del waiting
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []


async def test_a_connection_that_postgresql_closed_for_idling_is_a_database_that_is_away(database: Database) -> None:
    error = InternalError("COMMIT", {}, psycopg.errors.IdleInTransactionSessionTimeout("terminating connection"))
    with pytest.raises(DatabaseAway):
        async with database.session():
            raise error
