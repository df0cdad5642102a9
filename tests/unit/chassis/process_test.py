"""A service as a real process: how it starts, says so, is refused, is killed, drains and takes over."""

import asyncio
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.chassis.channel import open_channel
from services.chassis.errors import Unavailable
from services.chassis.waiting import patiently
from tests.contract.postgres import require_postgres, run_postgres
from tests.machine import PATIENCE_SECONDS, free_ports

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-m", "tests.unit.chassis.drilling_service"]


@dataclass
class Running:
    process: subprocess.Popen[str]
    ready: dict[str, Any]
    ready_seconds: float

    @asynccontextmanager
    async def calls(self) -> AsyncIterator[Any]:
        channel = open_channel(self.ready["grpc_address"], deadline_seconds=PATIENCE_SECONDS)
        try:
            yield channel
        finally:
            await channel.close()

    async def call(self, method: str, request: str) -> str:
        async with self.calls() as channel:
            answer: bytes = await channel.unary_unary(f"/test.Drilling/{method}")(request.encode())
        return answer.decode()

    def http(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(
                f"http://{self.ready['metrics_address']}{path}", timeout=PATIENCE_SECONDS
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, ""


@dataclass
class Place:
    folder: Path
    options: dict[str, str]

    @contextlib.contextmanager
    def start(self, **options: object) -> Iterator[Running]:
        begun = time.monotonic()
        process = self.spawn(**options)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            yield Running(process, json.loads(line), time.monotonic() - begun)
        finally:
            process.kill()
            process.communicate()

    def spawn(self, **options: object) -> subprocess.Popen[str]:
        chosen = {"data_dir": self.folder, "trace_file": self.folder / "trace", **self.options, **options}
        env = os.environ | {f"DRILLING_{key.upper()}": str(value) for key, value in chosen.items()}
        env["PYTHONPATH"] = f"{ROOT}:{ROOT / 'proto' / 'gen'}"
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(COMMAND, cwd=ROOT, env=env, text=True, **pipes)  # type: ignore[call-overload, no-any-return]

    def refused(self, **options: object) -> str:
        process = self.spawn(**options)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
        assert (process.returncode, out) == (2, "")
        complaint: str = err.splitlines()[-1]
        return complaint

    def traces(self, word: str) -> list[list[str]]:
        trace = self.folder / "trace"
        lines = trace.read_text().splitlines() if trace.exists() else []
        return [line.split() for line in lines if line.startswith(word)]

    async def traced(self, word: str, number: int) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.traces(word)) < number:
                await asyncio.sleep(0.01)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, {})


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Running]]:
    """One service, for tests that leave it as it is."""
    place = Place(tmp_path_factory.mktemp("shared"), {})
    with place.start() as running:
        yield place, running


async def finished(running: Running, job_id: str) -> str:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (state := await running.call("GetDrill", job_id)).split()[0] not in ("SUCCEEDED", "FAILED", "CANCELLED"):
            await asyncio.sleep(0.02)
    return state


async def test_a_service_starts_fast_and_small_and_says_where_it_serves(shared: tuple[Place, Running]) -> None:
    _, running = shared
    process = psutil.Process(running.process.pid)
    assert running.ready | {"event": "serving", "service": "drilling", "pid": process.pid} == running.ready
    assert process.cpu_times().user + process.cpu_times().system < 4.0
    assert process.memory_info().rss < 150e6
    assert running.http("/health/ready")[0] == running.http("/health/live")[0] == 200
    # An alert sees the first failures only as a rise from a number that was there.
    assert 'drillyard_jobs{kind="drill",state="FAILED"} 0.0' in running.http("/metrics")[1]
    job_id = await running.call("CreateDrill", "r1")
    assert await finished(running, job_id) == "SUCCEEDED 1 1"
    status, text = running.http("/metrics")
    assert status == 200
    assert 'drillyard_jobs{kind="drill",state="SUCCEEDED"} 1.0' in text
    assert 'code="OK",grpc_method="CreateDrill",grpc_service="test.Drilling"' in text


async def test_a_request_waits_for_a_database_that_another_program_locks_for_five_seconds(
    shared: tuple[Place, Running],
) -> None:
    place, running = shared
    async with open_channel(running.ready["grpc_address"]) as channel:
        with contextlib.closing(sqlite3.connect(place.folder / "drilling" / "state.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            creating = asyncio.ensure_future(channel.unary_unary("/test.Drilling/CreateDrill")(b"locked"))
            await asyncio.wait({creating}, timeout=5)
            assert not creating.done()
            other.execute("COMMIT")
        job_id = (await creating).decode()
    assert (await finished(running, job_id)).startswith("SUCCEEDED 1 ")


async def test_a_job_survives_a_kill_in_the_next_instant_and_goes_on_from_the_last_unit(place: Place) -> None:
    with place.start(unit_seconds=10) as running:
        job_id = await running.call("CreateDrill", "r1")
        running.process.kill()
        running.process.wait()
    with place.start() as running:
        await place.traced("unit", 5)
        running.process.kill()
        running.process.wait()
    with place.start() as running:
        assert await running.call("CreateDrill", "r1") == job_id
        # Whether the job had begun when the first service was killed, nobody knows.
        assert await finished(running, job_id) in ("SUCCEEDED 2 2", "SUCCEEDED 3 3")
    units = [int(unit) for _, unit in place.traces("unit")]
    assert sorted(set(units)) == list(range(20))
    assert len(units) <= 21


async def test_a_terminated_service_hands_its_job_over_within_the_grace(place: Place) -> None:
    with place.start(drain_grace_seconds=2 * PATIENCE_SECONDS) as running:
        job_id = await running.call("CreateDrill", "r1")
        await place.traced("unit", 3)
        running.process.send_signal(signal.SIGTERM)
        out, err = running.process.communicate(timeout=PATIENCE_SECONDS)
        assert (running.process.returncode, out) == (0, ""), err
        assert all(json.loads(line)["level"] in ("info", "debug") for line in err.splitlines())
    assert place.traces("end")
    # What start-up made is no work for the garbage collector, which would keep the event loop for it.
    assert int(place.traces("stopped")[0][1]) > 50_000
    with place.start() as running:
        assert await finished(running, job_id) == "SUCCEEDED 2 2"
    units = [int(unit) for _, unit in place.traces("unit")]
    assert sorted(set(units)) == list(range(20))


def test_a_port_in_use_is_named_with_the_variable_that_changes_it(
    shared: tuple[Place, Running], tmp_path: Path
) -> None:
    for variable, key in (("GRPC_PORT", "grpc_address"), ("METRICS_PORT", "metrics_address")):
        port = shared[1].ready[key].rpartition(":")[2]
        complaint = Place(tmp_path, {}).refused(**{variable.lower(): port})
        assert port in complaint
        assert f"DRILLING_{variable}" in complaint


def test_a_second_service_on_the_same_data_is_refused(shared: tuple[Place, Running]) -> None:
    place, running = shared
    assert f"pid {running.process.pid}" in place.refused()


def test_a_wrong_setting_is_refused(place: Place) -> None:
    assert "DRILLING_GRPC_PORT" in place.refused(grpc_port="many")


def test_a_service_ends_with_its_parent(place: Place) -> None:
    code = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen({COMMAND!r}, stdout=subprocess.PIPE)\n"
        "print(child.stdout.readline().decode(), end='', flush=True)\n"
        "sys.stdin.read()\n"
    )
    env = os.environ | {"DRILLING_DATA_DIR": str(place.folder), "DRILLING_EXIT_WITH_PARENT": "true"}
    env |= {"DRILLING_TRACE_FILE": str(place.folder / "trace"), "PYTHONPATH": f"{ROOT}:{ROOT / 'proto' / 'gen'}"}
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = psutil.Process(json.loads(parent.stdout.readline())["pid"])
    parent.kill()
    parent.communicate()
    child.wait(PATIENCE_SECONDS)
    assert place.traces("stopped")


async def test_a_replica_that_froze_past_its_lease_is_fenced_when_it_wakes(place: Place) -> None:
    require_postgres()
    with run_postgres() as url:
        place.options = {"database_url": url, "lease_seconds": "1.5", "unit_seconds": "0.1"}
        with place.start(artifacts_url=(place.folder / "a").as_uri()) as first:
            job_id = await first.call("CreateDrill", "r1")
            await place.traced("unit", 3)
            first.process.send_signal(signal.SIGSTOP)
            with place.start(artifacts_url=(place.folder / "b").as_uri()) as second:
                await place.traced("begin", 2)
                first.process.send_signal(signal.SIGCONT)
                assert await finished(second, job_id) == "SUCCEEDED 2 2"
                await place.traced("end", 2)
                with contextlib.suppress(Unavailable):
                    assert await first.call("GetDrill", job_id) == "SUCCEEDED 2 2"
        owners = [pid for _, pid, _, _ in place.traces("begin")]
        assert owners == [str(first.process.pid), str(second.process.pid)]
        units = [int(unit) for _, unit in place.traces("unit")]
        # The frozen replica may finish the unit it was in; the next write stops it.
        assert len(units) <= 22


class Callers:
    """Those who ask two replicas for jobs and look at them, until they are told to stop."""

    def __init__(self, channel: Any) -> None:
        self._create, self._get = (channel.unary_unary(f"/test.Drilling/{name}Drill") for name in ("Create", "Get"))
        self.job_ids: list[str] = []
        self._is_over = False

    async def create(self) -> None:
        while not self._is_over:
            create = partial(self._create, f"r{len(self.job_ids)}".encode())
            job_id, again = [await patiently(create, "a replica") for _ in range(2)]
            assert job_id == again
            self.job_ids.append(job_id.decode())
            await asyncio.sleep(0.1)

    async def ended(self, job_id: str) -> str:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (state := (await self._get(job_id.encode())).decode()).startswith(("SUCCEEDED", "FAILED")):
                await asyncio.sleep(0.05)
        return str(state.split()[0])

    async def look(self) -> None:
        while not self._is_over:
            if self.job_ids:
                # The channel itself repeats what only reads.
                await self._get(self.job_ids[-1].encode())
            await asyncio.sleep(0.02)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            for work in (self.create, self.look, self.look):
                tasks.create_task(work())
            yield
            self._is_over = True


async def test_replicas_that_are_replaced_in_turn_fail_no_call_that_can_be_repeated_and_lose_no_job(
    place: Place,
) -> None:
    require_postgres()
    with run_postgres() as url, contextlib.ExitStack() as ending:
        place.options = {"database_url": url, "artifacts_url": (place.folder / "a").as_uri(), "units": "3"}
        # Short ones also bound what waits for the database, which other processes of the machine may slow down.
        place.options["lease_seconds"] = "300"
        ports = free_ports(2)

        def start(port: int) -> Running:
            return ending.enter_context(place.start(grpc_port=port))

        replicas = [start(port) for port in ports]
        addresses = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
        async with open_channel(addresses, deadline_seconds=PATIENCE_SECONDS) as channel:
            callers = Callers(channel)
            async with callers.at_work():
                for number, port in enumerate(ports):
                    replicas[number].process.send_signal(signal.SIGTERM)
                    assert await asyncio.to_thread(replicas[number].process.wait, PATIENCE_SECONDS) == 0
                    replicas[number] = await asyncio.to_thread(start, port)
                    # The next one goes when this one is called, as pods go when their successors are ready.
                    await asyncio.to_thread(until_called, replicas[number])
            assert callers.job_ids
            assert {await callers.ended(job_id) for job_id in callers.job_ids} == {"SUCCEEDED"}


def until_called(running: Running) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not re.search(r'method="GetDrill".* [1-9]', running.http("/metrics")[1]):
        assert time.monotonic() < end, f"nobody called it in {PATIENCE_SECONDS} s"
        time.sleep(0.1)


async def test_a_database_that_goes_away_is_not_ready_but_live(place: Place) -> None:
    require_postgres()
    with run_postgres() as url:
        place.options = {"database_url": url}
        context = place.start()
        running = context.__enter__()
        assert running.http("/health/ready")[0] == 200
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while running.http("/health/ready")[0] != 503:
                await asyncio.sleep(0.01)
        assert running.http("/health/live")[0] == 200
        assert running.http("/metrics")[0] == 200
        with pytest.raises(Unavailable, match="PostgreSQL"):
            await running.call("CreateDrill", "r1")
    finally:
        context.__exit__(None, None, None)
