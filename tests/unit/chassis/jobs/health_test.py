"""What keeps a service from its work is told by its health, waited out, or ends the service."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, closing
from functools import partial
from pathlib import Path

import httpx2
import pytest
from psycopg.errors import IndexCorrupted
from sqlalchemy import text
from sqlalchemy.exc import InternalError
from structlog.testing import capture_logs

from services.chassis.application import Application, assemble
from services.chassis.database.lease import HeldLease, boot_seconds
from services.chassis.errors import DatabaseAway, DatabaseDamaged, LeaseOver
from services.chassis.jobs import Job, JobContext, JobState, Json
from services.chassis.jobs.bell import QUEUE
from services.chassis.machine.guarded_http import open_client
from services.chassis.settings import ServiceSettings
from services.chassis.waiting import keep_going
from tests.machine import PATIENCE_SECONDS


class Settings(ServiceSettings, env_prefix="HEALTH_TEST_"):
    """The settings of a service that has none of its own."""


@pytest.fixture
async def application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Application]:
    monkeypatch.setattr("services.chassis.application._HEALTH_SECONDS", 0.2)
    application = await assemble("health", Settings(data_dir=tmp_path))
    application.jobs.runner.register("x", nothing)
    watching = asyncio.create_task(application.wait_for_failure())
    yield application
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await application.stop()


async def nothing(_context: JobContext) -> Json:
    return {}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


async def test_what_must_be_told_before_a_service_ends_comes_first_within_the_grace(
    application: Application,
) -> None:
    told: list[tuple[float, bool]] = []

    async def tell(seconds: float) -> None:
        told.append((seconds, application.server.is_serving))

    application.on_drain(tell)
    await application.server.set_serving(True)
    await application.stop()
    assert told == [(7.5, False)]


async def test_a_service_serves_while_it_claims_jobs_and_while_its_database_answers(application: Application) -> None:
    assert not application.jobs.runner.is_claiming
    await application.jobs.runner.start()
    await until(lambda: application.server.is_serving)
    async with application.database.session() as session:
        await session.execute(text("ALTER TABLE jobs RENAME COLUMN kind TO sort"))
    application.jobs.store.bell.ring(QUEUE)
    await until(lambda: not application.jobs.runner.is_claiming)
    await until(lambda: not application.server.is_serving)
    async with application.database.session() as session:
        await session.execute(text("ALTER TABLE jobs RENAME COLUMN sort TO kind"))
    application.jobs.store.bell.ring(QUEUE)
    await until(lambda: application.server.is_serving)


async def test_an_error_that_nobody_foresaw_does_not_end_the_claiming_of_jobs(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, errors = application.jobs.store, [KeyError("a row of another world")]
    claim = store.claim

    async def breaks_once(*args: object, **options: object) -> Job | None:
        if errors:
            raise errors.pop()
        return await claim(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "claim", breaks_once)
    job_id = (await store.create("x", "r", {})).job_id
    await application.jobs.runner.start()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await store.get(job_id)).state is not JobState.SUCCEEDED:
            await asyncio.sleep(0.02)
    assert application.jobs.runner.is_claiming


async def test_a_service_that_can_claim_no_job_ends_after_some_tries(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(*_args: object, **_options: object) -> Job | None:
        raise KeyError("a database of another world")

    monkeypatch.setattr("services.chassis.jobs.runner.keep_going", partial(keep_going, pause_seconds=0.001))
    monkeypatch.setattr(application.jobs.store, "claim", breaks)
    await application.jobs.runner.start()
    with pytest.raises(ExceptionGroup) as caught:
        await application.wait_for_failure()
    assert isinstance(caught.value.exceptions[0], KeyError)
    assert not application.jobs.runner.is_claiming


@pytest.mark.parametrize("first_damaged", [0, 4096], ids=["not a database", "malformed"])
async def test_a_damaged_database_is_told_by_health_log_and_answers_with_what_to_do(
    application: Application, tmp_path: Path, first_damaged: int
) -> None:
    store, path = application.jobs.store, Path(application.database.engine.url.database or "")
    kept = await store.create("other", "r", {})
    await application.jobs.runner.start()
    await until(lambda: application.server.is_serving)
    with capture_logs() as records:
        await damage(application, path, first_damaged)
        store.bell.ring(QUEUE)
        await until(lambda: not application.server.is_serving and not application.jobs.runner.is_claiming)
    told = [record["reason"] for record in records if record["event"] == "jobs_not_claimed"]
    assert all(f"{path.parent} is damaged" in reason and "backup" in reason for reason in told) and told
    assert "task_broke" not in {record["event"] for record in records}
    with pytest.raises(DatabaseDamaged, match="Stop the service, put a backup"):
        await store.get(kept.job_id)
    # One that is raised again would grow by a frame each time.
    errors = await asyncio.gather(*(application.database.ping() for _ in range(2)), return_exceptions=True)
    assert errors[0] is not errors[1] and str(errors[0]) == str(errors[1]) != "None"
    await application.stop()
    with pytest.raises(DatabaseDamaged, match="backup"):
        await assemble("health", Settings(data_dir=tmp_path))


async def test_a_postgresql_that_finds_damage_is_told_by_health_and_not_asked_for_jobs_again_and_again(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_claims = 0

    async def claim(*_arguments: object, **_options: object) -> Job | None:
        nonlocal num_claims
        num_claims += 1
        async with application.database.session():
            raise InternalError("SELECT", {}, IndexCorrupted('index "ix_jobs_kind_state" contains a corrupted page'))

    monkeypatch.setattr("services.chassis.jobs.runner._POLL_SECONDS", 3600.0)
    monkeypatch.setattr(application.jobs.store, "claim", claim)
    await application.server.set_serving(True)
    with capture_logs() as records:
        await application.jobs.runner.start()
        await until(lambda: not application.server.is_serving)
    reasons = [record["reason"] for record in records if record["event"] == "jobs_not_claimed"]
    assert (num_claims, len(reasons), application.jobs.runner.is_claiming) == (1, 1, False)
    assert "is damaged (index" in reasons[0]
    with pytest.raises(DatabaseDamaged, match="corrupted page"):
        await application.database.ping()


async def damage(application: Application, path: Path, first_damaged: int) -> None:
    def overwrite() -> None:
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
            content = path.read_bytes()
            with path.open("r+b") as file:
                file.write(content[:first_damaged].ljust(len(content), b"\xff"))

    await asyncio.to_thread(overwrite)
    # Connections that were open before have pages of their own, and no file of a few pages has others.
    await application.database.engine.dispose()


async def test_jobs_are_claimed_again_once_the_database_has_a_connection_to_spare(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = application.jobs.store
    await application.jobs.runner.start()
    await until(lambda: application.server.is_serving)
    async with AsyncExitStack() as stack:
        for _ in range(10):
            session = await stack.enter_async_context(application.database.reading())
            await session.execute(text("SELECT 1"))
        monkeypatch.setattr(application.database.engine.pool, "_timeout", 0.1)
        store.bell.ring(QUEUE)
        await until(lambda: not application.jobs.runner.is_claiming and not application.server.is_serving)
        with pytest.raises(DatabaseAway, match="does not answer"):
            await store.create("x", "r", {})
    job_id = (await store.create("x", "r", {})).job_id
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await store.get(job_id)).state is not JobState.SUCCEEDED:
            await asyncio.sleep(0.02)
    await until(lambda: application.server.is_serving)


async def test_a_task_whose_lease_is_over_neither_writes_nor_asks_an_endpoint(application: Application) -> None:
    requests: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return httpx2.Response(200)

    async def wakes(lease: HeldLease) -> None:
        lease.bind()
        async with open_client(transport=httpx2.MockTransport(answer)) as client:
            with pytest.raises(LeaseOver):
                await client.get("http://endpoint.test/v1/models")
        with pytest.raises(LeaseOver):
            async with application.database.session():
                pass
        with pytest.raises(LeaseOver):
            await application.jobs.store.create("x", "r", {})

    await asyncio.create_task(wakes(HeldLease(30.0, since=boot_seconds() - 30.0)))
    assert not requests
    assert await application.jobs.store.count() == {}
