"""Two test runners over PostgreSQL share a run of a real model, and one of them is killed while they do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from drillyard.job.v1 import job_pb2
from drillyard.test_runner.v1 import test_run_pb2, test_runner_service_pb2_grpc, transcript_pb2

from services.chassis.database import Database
from services.test_runner.store.sql import SqlRunStore
from tests.contract.postgres import require_postgres, run_postgres
from tests.integration.processes import ServiceProcess, start_service
from tests.integration.tiny_stack import (
    TestRunner,
    TinyStack,
    a_worker,
    connected,
    create_run,
    finished_run,
    stored_windows,
    tiny_stack,
    transcripts,
)

NUM_CASES, NUM_REPEATS, WINDOW_SIZE = 24, 3, 3
NUM_TRANSCRIPTS = NUM_CASES * NUM_REPEATS
PATIENCE_SECONDS = 200.0

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[TinyStack]:
    """A stack whose test runner has SQLite, and so works alone."""
    async with tiny_stack(tmp_path, num_cases=NUM_CASES, window_size=WINDOW_SIZE) as stack:
        yield stack


def start_replica(ending: ExitStack, stack: TinyStack, database_url: str) -> ServiceProcess:
    settings = {
        "registry_address": stack.registry.address,
        "num_threads": 1,
        "window_size": WINDOW_SIZE,
    }
    return ending.enter_context(
        start_service("test_runner", stack.data_dir, database_url=database_url, lease_seconds=6, **settings)
    )


async def begin(stub: TestRunner, stack: TinyStack) -> str:
    sampling = test_run_pb2.Sampling(max_new_tokens=24, temperature=1.0)
    run = await create_run(
        stub, "r", test_suite_version_id=stack.suite, sampling=sampling, num_repeats=NUM_REPEATS, seed=7
    )
    return run.test_run_id


async def bytes_of(stub: TestRunner, run_id: str) -> list[bytes]:
    """Wait for the end of a run, and return its transcripts without what is of the run's id or of the clock."""
    run = await finished_run(stub, run_id)
    assert run.job.state == job_pb2.JOB_STATE_SUCCEEDED, run.job.error
    return list(map(without_ids_and_times, await transcripts(stub, run_id)))


def without_ids_and_times(transcript: transcript_pb2.Transcript) -> bytes:
    for field in ("transcript_id", "test_run_id", "prefill_seconds", "decode_seconds", "num_cached_tokens"):
        transcript.ClearField(field)  # type: ignore[arg-type]
    for turn in transcript.turns:
        for field in ("queue_seconds", "prefill_seconds", "decode_seconds", "num_cached_tokens"):
            turn.ClearField(field)  # type: ignore[arg-type]
    return transcript.SerializeToString(deterministic=True)


async def stored_ahead(store: SqlRunStore, run_id: str, least: int) -> None:
    """Wait until at least so many transcripts are stored behind the window of the replica that holds the run."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            run = await store.get_run(run_id)
            assert run is not None
            if len(await store.stored_cases(run_id)) - run.num_transcripts >= least:
                return
            await asyncio.sleep(0.05)


async def test_two_replicas_answer_as_one_does_although_one_is_killed(stack: TinyStack) -> None:
    require_postgres()
    async with connected(stack.runner) as channel:
        stub = test_runner_service_pb2_grpc.TestRunnerServiceStub(channel)
        reference = await bytes_of(stub, await begin(stub, stack))
    stack.runner.stop()
    assert len(reference) == NUM_TRANSCRIPTS
    with run_postgres() as url, ExitStack() as ending:
        first = start_replica(ending, stack, url)
        database = Database.open(url)
        store = SqlRunStore(database)
        try:
            async with connected(first) as channel:
                stub = test_runner_service_pb2_grpc.TestRunnerServiceStub(channel)
                run_id = await begin(stub, stack)
                await stored_windows(stub, run_id, WINDOW_SIZE)
                # From here on the other one is alone at work, and the run cannot end before it is killed.
                worker = await a_worker(first)
                worker.suspend()
                second = start_replica(ending, stack, url)
                await stored_ahead(store, run_id, 2 * WINDOW_SIZE)
                second.kill()
                worker.resume()
                assert await bytes_of(stub, run_id) == reference
        finally:
            await database.close()
