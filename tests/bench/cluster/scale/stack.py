"""The services of the load test as real processes, what they have used, and an endpoint that answers when it is let."""

from __future__ import annotations

import asyncio
import multiprocessing
import re
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import psutil

from tests.fakes.endpoint import FakeEndpoint, Request, running, says
from tests.integration.processes import ServiceProcess, start_service
from tests.storm.databases import Databases, databases

SERVICES = ("registry", "test_runner", "evaluator")
POSTGRES = "postgresql"
_READY_SECONDS = 60.0
# Renewed as often as a shorter one; a machine that others keep busy ends neither it nor the database's answers.
_LEASE_SECONDS = 300.0
_ANSWER = (
    "I look at the file first, to see what it holds and where the change belongs.\n"
    "<read_file>\n<args>\n<file>\n<path>src/main.py</path>\n</file>\n</args>\n</read_file>"
)
_QUEUE_AGE = re.compile(r'^drillyard_jobs_queue_age_seconds\{kind="(\w+)"\} (\S+)$', re.MULTILINE)
_CONNECTIONS = "SELECT count(*) AS number FROM pg_stat_activity WHERE backend_type = 'client backend'"


@dataclass
class Gate:
    """Lets the endpoint answer, and tells how many requests wait there."""

    base_url: str
    _is_open: Event
    _num_inside: Any

    @property
    def num_inside(self) -> int:
        """Requests that the endpoint holds now."""
        return int(self._num_inside.value)

    def open(self, *, is_open: bool) -> None:
        """Answer all that waits and comes, or hold it from now on."""
        (self._is_open.set if is_open else self._is_open.clear)()


@dataclass
class Stack:
    """The processes of each service, by its name."""

    databases: Databases
    folder: Path
    processes: dict[str, list[ServiceProcess]] = field(default_factory=dict)

    def target(self, service: str) -> str:
        """Return what a channel to all replicas of a service is opened with."""
        addresses = [process.address for process in self.processes[service]]
        return addresses[0] if len(addresses) == 1 else "ipv4:" + ",".join(addresses)

    def processor_seconds(self) -> dict[str, float]:
        """Return what each service, all replicas of it, and the database have computed since they began."""
        spent = {
            name: sum(_seconds(psutil.Process(each.process.pid)) for each in processes)
            for name, processes in self.processes.items()
        }
        return spent | ({POSTGRES: database_seconds()} if self.databases.is_shared else {})

    def memory_bytes(self) -> dict[str, int]:
        """Return the memory of the largest replica of each service, and of all of the database's processes."""
        largest = {
            name: max(psutil.Process(each.process.pid).memory_info().rss for each in processes)
            for name, processes in self.processes.items()
        }
        return largest | ({POSTGRES: sum(map(_tree_memory, _servers()))} if self.databases.is_shared else {})

    def database_bytes(self, service: str) -> int:
        """Return the size of a service's database."""
        if not self.databases.is_shared:
            return sum(file.stat().st_size for file in (self.folder / service).glob("state.db*"))
        (row,) = self.databases.read(service, "SELECT pg_database_size(current_database()) AS size")
        return int(row["size"])

    def num_connections(self) -> int:
        """Return how many connections the server has now, without this one; 0 on SQLite."""
        return self.databases.read("registry", _CONNECTIONS)[0]["number"] - 1 if self.databases.is_shared else 0

    def queue_ages(self) -> dict[str, float]:
        """Return for how long the oldest job of each kind has waited, as Prometheus would read it."""
        ages: dict[str, float] = {}
        for service in SERVICES[1:]:
            address = self.processes[service][0].metrics_address
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=_READY_SECONDS) as answer:
                ages |= {kind: float(age) for kind, age in _QUEUE_AGE.findall(answer.read().decode())}
        return ages


@contextmanager
def running_stack(kind: str, folder: Path, *, replicas: int, num_runs: int) -> Iterator[Stack]:
    """Start a registry, and `replicas` of test-runner and evaluator that together work on `num_runs` at once."""
    places = -(-num_runs // replicas)
    with ExitStack() as ending:
        stack = Stack(ending.enter_context(databases(kind, folder, SERVICES)), folder)

        def start(service: str, number: int, **settings: object) -> None:
            shared = {**stack.databases.settings(service), "lease_seconds": _LEASE_SECONDS}
            stack.processes[service] = [
                ending.enter_context(start_service(service, folder, **shared, **settings)) for _ in range(number)
            ]

        start("registry", 1)
        to_registry = {"registry_address": stack.target("registry")}
        start("test_runner", replicas, max_running=places, **to_registry)
        to_runner = {"test_runner_address": stack.target("test_runner")}
        start("evaluator", replicas, max_running=places, **to_registry, **to_runner)
        yield stack


@contextmanager
def gated_endpoint() -> Iterator[Gate]:
    """Run an endpoint in a process of its own, which answers at once while its gate is open."""
    context = multiprocessing.get_context("spawn")
    is_open, num_inside, address = context.Event(), context.Value("q", 0), context.SimpleQueue()
    process = context.Process(target=_serve, args=(is_open, num_inside, address), daemon=True)
    process.start()
    try:
        yield Gate(address.get(), is_open, num_inside)
    finally:
        process.kill()
        process.join()


def _serve(is_open: Event, num_inside: Any, address: Any) -> None:
    asyncio.run(_answer_for_ever(is_open, num_inside, address))


async def _answer_for_ever(is_open: Event, num_inside: Any, address: Any) -> None:
    answer, opened = says(_ANSWER), asyncio.Event()

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        await opened.wait()
        await answer(request, writer)

    async with running(behave) as server:
        address.put(server.base_url)
        while True:
            _look(server, num_inside)
            (opened.set if is_open.is_set() else opened.clear)()
            await asyncio.sleep(0.1)


def _look(server: FakeEndpoint, num_inside: Any) -> None:
    num_inside.value = server.num_inside
    server.requests.clear()


def database_seconds() -> float:
    """Return what the PostgreSQL servers of this process have computed; 0 without one."""
    return sum(map(_tree_seconds, _servers()))


def _servers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if child.name() == "postgres"]


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _tree_seconds(server: psutil.Process) -> float:
    times = server.cpu_times()
    ended = float(times.children_user + times.children_system)
    return _seconds(server) + ended + sum(_of(_seconds, child) for child in server.children())


def _tree_memory(server: psutil.Process) -> int:
    # What a process shares with others is counted once, as its part of it.
    return int(sum(_of(lambda each: each.memory_full_info().pss, child) for child in [server, *server.children()]))


def _of(measure: Any, process: psutil.Process) -> Any:
    with suppress(psutil.Error):
        return measure(process)
    return 0
