"""Jobs whose database is locked, refuses, or freezes: short outages cost time, long ones hand the job over."""

import asyncio
import contextlib
import sqlite3
import threading
import time
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError

from services.chassis.application import JOB_MIGRATIONS
from services.chassis.database import Database
from services.chassis.errors import DatabaseAway, DatabaseDamaged
from services.chassis.jobs import Job, JobContext, JobRunner, JobState, Json, SqlJobStore, watch
from services.chassis.jobs.tables import JOBS
from tests.contract.conftest import OpenDatabase
from tests.machine import PATIENCE_SECONDS


class Proxy:
    """A TCP proxy on loopback that can refuse, or keep connections open and pass nothing on."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._refuses = False

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        self._server.close()
        self.refuse()

    def refuse(self) -> None:
        self._refuses = True
        for writer in self._writers:
            writer.transport.abort()

    def freeze(self) -> None:
        self._flows.clear()

    def recover(self) -> None:
        self._refuses = False
        self._flows.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, inner_writer}
        with contextlib.suppress(OSError):
            await asyncio.gather(self._pass(reader, inner_writer), self._pass(inner_reader, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._flows.wait()
            writer.write(data)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def proxied(open_database: OpenDatabase, lease_seconds: float) -> AsyncIterator[tuple[Proxy, SqlJobStore]]:
    url = (await open_database("postgresql", JOB_MIGRATIONS)).engine.url
    proxy = Proxy(url.port or 5432)
    port = await proxy.start()
    database = Database.open(url.set(port=port).render_as_string(False), lease_seconds=lease_seconds)
    yield proxy, SqlJobStore(database)
    await database.close()
    await proxy.stop()


async def run(store: SqlJobStore, work: object, lease_seconds: float) -> Job:
    runner = JobRunner(store, owner="here", lease_seconds=lease_seconds)
    runner.register("x", work)  # type: ignore[arg-type]
    job_id = (await store.create("x", "r", {})).job_id
    await runner.start()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (job := await _seen(store, job_id)).is_final:
            await asyncio.sleep(0.05)
    await runner.stop(5.0)
    assert [event.sequence async for event in watch(store, job_id)] == list(range(1, job.last_sequence + 1))
    return job


async def _seen(store: SqlJobStore, job_id: str) -> Job:
    while True:
        try:
            return await store.get(job_id)
        except DatabaseAway:
            await asyncio.sleep(0.05)


async def write_all(ctx: JobContext) -> None:
    await ctx.progress(phase="drill", done=1)
    await ctx.event("unit", {"n": 1})
    await ctx.checkpoint({"done": 1})


async def test_a_postgresql_that_refuses_for_seconds_costs_time_and_no_attempt(open_database: OpenDatabase) -> None:
    async with proxied(open_database, 10.0) as (proxy, store):

        async def work(ctx: JobContext) -> Json:
            proxy.refuse()
            asyncio.get_running_loop().call_later(5.0, proxy.recover)
            await write_all(ctx)
            return {}

        job = await run(store, work, 10.0)
    assert (job.state, job.attempt, job.saved, job.progress["done"]) == (JobState.SUCCEEDED, 1, {"done": 1}, 1)


async def test_a_postgresql_that_freezes_ends_the_hold_when_its_lease_ends_and_the_next_goes_on(
    open_database: OpenDatabase,
) -> None:
    ended: list[bool] = []

    async with proxied(open_database, 2.0) as (proxy, store):

        async def work(ctx: JobContext) -> Json:
            if ctx.job.attempt > 1:
                return {}
            proxy.freeze()
            try:
                await asyncio.sleep(60.0)
            finally:
                # Still frozen: nobody but the holder itself has ended the hold.
                ended.append(not proxy._flows.is_set())
                proxy.recover()
            raise AssertionError("the hold outlived its lease")

        job = await run(store, work, 2.0)
    assert (job.state, job.attempt, ended) == (JobState.SUCCEEDED, 2, [True])


@pytest.mark.parametrize(
    ("lease_seconds", "lock_seconds", "num_attempts"), [(4.5, 2.0, 1), (0.6, 2.0, 2), (30.0, 20.0, 1)]
)
async def test_a_foreign_lock_longer_than_the_busy_time_out_loses_no_job(
    open_database: OpenDatabase, tmp_path: Path, lease_seconds: float, lock_seconds: float, num_attempts: int
) -> None:
    await (await open_database("sqlite", JOB_MIGRATIONS)).close()
    database = Database.open(f"sqlite+aiosqlite:///{tmp_path}/state.db", lease_seconds=lease_seconds)
    store = SqlJobStore(database)

    async def work(ctx: JobContext) -> Json:
        if ctx.job.attempt == 1:
            await asyncio.to_thread(lock, tmp_path / "state.db", lock_seconds)
        await write_all(ctx)
        return {}

    job = await run(store, work, lease_seconds)
    await database.close()
    assert (job.state, job.attempt, job.saved) == (JobState.SUCCEEDED, num_attempts, {"done": 1})


def lock(path: Path, seconds: float) -> None:
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")

    def release() -> None:
        time.sleep(seconds)
        holder.execute("COMMIT")
        holder.close()

    threading.Thread(target=release).start()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_an_error_of_the_database_names_no_value(open_database: OpenDatabase, kind: str) -> None:
    database = await open_database(kind, JOB_MIGRATIONS)
    store = SqlJobStore(database)
    await store.create("x", "a secret prompt", {"text": "another secret"})
    with pytest.raises(IntegrityError) as caught:
        async with database.session() as session:
            row = (await session.execute(select(JOBS))).mappings().one()
            await session.execute(insert(JOBS).values({**row, "ordinal": 99, "job_id": "other"}))
    told = "".join(traceback.format_exception(caught.value))
    assert "request_id" in told and "secret" not in told


@pytest.mark.parametrize("condition", ["data_corrupted", "index_corrupted"])
async def test_damage_that_postgresql_finds_is_told_with_what_to_do(
    open_database: OpenDatabase, condition: str
) -> None:
    database = await open_database("postgresql", JOB_MIGRATIONS)
    await database.ping()
    for _ in range(2):
        with pytest.raises(DatabaseDamaged, match=r"is damaged \(.*restore a backup, or REINDEX"):
            async with database.session() as session:
                await session.execute(text(f"DO 'BEGIN RAISE {condition}; END'"))
    with pytest.raises(DatabaseDamaged, match=r"is damaged \("):
        await database.ping()
