"""What each operation of the job store, and a window of a run, costs in processor time of service and database."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from services.chassis.database import Database
from services.chassis.database.migration import migrate
from services.chassis.jobs import Job, SqlJobStore
from services.chassis.waiting import patiently
from services.test_runner.domain.test_run import Environment, Hold, RunInputs, RunRecord
from services.test_runner.domain.transcript import AnswerTurn, FinishReason, Message, transcript_of
from services.test_runner.store.sql import MIGRATIONS, SqlRunStore
from tests.bench.cluster.scale.stack import database_seconds
from tests.storm.databases import databases

KIND = "test_run"
_LEASE_SECONDS = 300.0
_TIMES = 100
_LAST_SEQUENCE = 1_000_000
# What a claim leaves out: the jobs that a process has already.
_RUNNING = [f"run-{number}" for number in range(500)]
# As long as those of a run at an endpoint.
_SPEC = {"test_suite_version_id": "roo_xml/core@2", "endpoint": {"base_url": "http://127.0.0.1:8000/v1", "model": "m"}}
_PROGRESS = {"phase": "generate", "done": 3, "total": 308, "unit": "transcripts", "message": "44 tokens a second."}
_OWNER = "a replica"
_INPUTS = RunInputs("", "roo_xml/core@2", None, None, "sha256:s", "roo_xml", "sha256:p", num_cases=1000, window_size=1)

Operation = Callable[[SqlJobStore, Job], Awaitable[object]]


OPERATIONS: dict[str, Operation] = {
    "create": lambda store, _job: store.create(KIND, "", _SPEC),
    "claim": lambda store, _job: store.claim([KIND], _OWNER, _LEASE_SECONDS, running=_RUNNING),
    "renew a lease": lambda store, job: store.renew(job.job_id, job.epoch, _LEASE_SECONDS),
    "report progress": lambda store, job: store.set_progress(job.job_id, job.epoch, _PROGRESS),
    "look for new events": lambda store, job: store.events(job.job_id, _LAST_SEQUENCE),
    "get": lambda store, job: store.get(job.job_id),
    "list 50": lambda store, _job: store.list(KIND, 50),
    "count by state": lambda store, _job: store.count(),
}


def measure_operations(kind: str, num_jobs: int) -> dict[str, dict[str, float]]:
    """Return milliseconds of the processor per operation, of the service's side and of the database's."""
    with tempfile.TemporaryDirectory() as folder, databases(kind, Path(folder), (KIND,)) as places:
        url = str(places.settings(KIND).get("database_url", f"sqlite:///{folder}/state.db"))
        return asyncio.run(_measure(url, num_jobs))


async def _measure(url: str, num_jobs: int) -> dict[str, dict[str, float]]:
    database = Database.open(url, lease_seconds=_LEASE_SECONDS)
    await migrate(database, MIGRATIONS)
    store = SqlJobStore(database)
    jobs: list[Job] = []
    for _ in range(num_jobs):
        await store.create(KIND, "", _SPEC)
        job = await store.claim([KIND], _OWNER, _LEASE_SECONDS)
        assert job is not None
        jobs.append(job)
    costs = {}
    for name, operation in OPERATIONS.items():
        costs[name] = await _cost(operation, store, jobs)
    runs = SqlRunStore(database)
    for is_shared in (False, True):
        store_window = _storing(runs, is_shared=is_shared)
        for job in jobs:
            await runs.add_run(RunRecord(job.job_id, _INPUTS))
        costs["claim and store a window" if is_shared else "store a window"] = await _cost(store_window, store, jobs)
        for job in jobs:
            await runs.delete_run(job.job_id)
    await database.close()
    return costs


async def _cost(operation: Operation, store: SqlJobStore, jobs: Sequence[Job]) -> dict[str, float]:
    own, servers = time.process_time(), database_seconds()
    for number in range(_TIMES):
        await patiently(partial(operation, store, jobs[number % len(jobs)]), "the database")
    own, servers = time.process_time() - own, database_seconds() - servers
    return {"service": round(1000 * own / _TIMES, 2), "database": round(1000 * servers / _TIMES, 2)}


def _storing(runs: SqlRunStore, *, is_shared: bool) -> Operation:
    """Return what stores the next window of a run, of one case; where it is shared, after it was claimed."""

    async def store_window(_store: SqlJobStore, job: Job) -> None:
        hold = Hold(job.job_id, job.epoch)
        run = await runs.get_run(job.job_id)
        assert run is not None
        if is_shared:
            hold = replace(hold, window=(await runs.take_window(job.job_id, hold, _INPUTS.num_cases)).window)
        number = run.num_transcripts + 1
        messages = (Message("user", "Do it."), Message("assistant", "It is done."))
        answered = transcript_of(
            job.job_id,
            number,
            case=(f"case-{number}", 0),
            messages=messages,
            turns=[AnswerTurn(1, FinishReason.STOP)],
            stop="",
        )
        await runs.append_window(job.job_id, hold, Environment("float32"), [answered])

    return store_window
