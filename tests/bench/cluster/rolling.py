"""Every service is replaced under load: `python -m tests.bench.cluster.rolling [--lines 4]`.

All six services as real processes over PostgreSQL, two replicas of each behind a TCP balancer, as behind a Service of a
cluster. Lines of work start test runs at an endpoint and evaluations that follow them, one after another; others call
each service without a pause. Meanwhile each replica is replaced in turn: the new one serves, connections go to it, and
the old one ends by SIGTERM. Told is how many calls failed after the channel's own tries, and how many jobs were lost.
Calls of the gateway are plain HTTP requests without a second try.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import grpc.aio
from drillyard.evaluator.v1 import evaluation_pb2, evaluator_service_pb2_grpc
from drillyard.feedback.v1 import feedback_service_pb2_grpc, loop_pb2
from drillyard.job.v1 import job_pb2
from drillyard.registry.v1 import model_pb2, registry_service_pb2_grpc
from drillyard.test_runner.v1 import test_run_pb2, test_runner_service_pb2_grpc
from drillyard.trainer.v1 import trainer_service_pb2_grpc, training_job_pb2

from services.chassis.channel import open_channel
from services.chassis.waiting import follow, patiently
from services.protocols.profile import get_profile
from tests.fakes.endpoint import MODEL, Request, running, says
from tests.integration.processes import ServiceProcess, start_service
from tests.integration.tiny_stack import add_suite
from tests.machine import free_ports
from tests.storm.databases import Databases, databases

SERVICES = ("registry", "test_runner", "evaluator", "trainer", "feedback", "gateway")
_REPLICAS, _NUM_CASES, _ANSWER_SECONDS = 2, 6, 1.0
_CALL_PAUSE_SECONDS, _DEADLINE_SECONDS, _LEASE_SECONDS = 0.2, 300.0, 300.0
_ANSWER = (
    "I look at the file first.\n<read_file>\n<args>\n<file>\n<path>src/main.py</path>\n</file>\n</args>\n</read_file>"
)


@dataclass
class Balancer:
    """Hands each connection to the next of the replicas that take new ones."""

    port: int
    addresses: list[str] = field(default_factory=list)
    _turn: Any = field(default_factory=count)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Take connections for the length of a block."""
        server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)
        try:
            yield
        finally:
            server.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.addresses:
            writer.close()
            return
        host, _, port = self.addresses[next(self._turn) % len(self.addresses)].rpartition(":")
        with suppress(OSError, asyncio.CancelledError):
            onward = await asyncio.open_connection(host, int(port))
            await asyncio.gather(_copy(reader, onward[1]), _copy(onward[0], writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(1 << 16):
            writer.write(chunk)
            await writer.drain()
    writer.close()


class Cluster:
    """The replicas of each service, and the balancers before them."""

    def __init__(self, folder: Path, places: Databases) -> None:
        self._folder, self._places = folder, places
        ports = free_ports(len(SERVICES))
        self.balancers = dict(zip(SERVICES, map(Balancer, ports), strict=True))
        self.replicas: dict[str, list[tuple[ServiceProcess, ExitStack]]] = {name: [] for name in SERVICES}

    def target(self, service: str) -> str:
        """Return where the service is called."""
        return f"127.0.0.1:{self.balancers[service].port}"

    async def add(self, service: str) -> None:
        """Start a replica, and let connections go to it."""
        settings = {f"{name}_address": self.target(name) for name in SERVICES} | self._places.settings(service)
        settings |= {"port": 0} if service == "gateway" else {"lease_seconds": _LEASE_SECONDS, "max_running": 4}
        ending = ExitStack()
        process = await asyncio.to_thread(ending.enter_context, start_service(service, self._folder, **settings))
        self.replicas[service].append((process, ending))
        self.balancers[service].addresses.append(process.address)

    async def replace(self, service: str) -> None:
        """Add a replica, then end the oldest as a rolling update does."""
        await self.add(service)
        process, ending = self.replicas[service].pop(0)
        self.balancers[service].addresses.remove(process.address)
        await asyncio.to_thread(ending.close)

    async def end(self) -> None:
        """End all replicas."""
        for service in reversed(SERVICES):
            for _, ending in self.replicas[service]:
                await asyncio.to_thread(ending.close)


@dataclass
class Load:
    """Calls and jobs until it is told to stop, and what became of them."""

    channels: dict[str, grpc.aio.Channel]
    suite: str
    base_url: str
    gateway: str
    is_over: bool = False
    calls: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    run_ids: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def callers(self) -> list[Awaitable[None]]:
        """Return those who call each service for ever."""
        stub = test_runner_service_pb2_grpc.TestRunnerServiceStub
        asked: dict[str, Callable[[], Awaitable[object]]] = {}
        for name, make, method, request in (
            ("registry", registry_service_pb2_grpc.RegistryServiceStub, "ListModels", model_pb2.ListModelsRequest()),
            ("test_runner", stub, "ListTestRuns", test_run_pb2.ListTestRunsRequest()),
            (
                "evaluator",
                evaluator_service_pb2_grpc.EvaluatorServiceStub,
                "ListEvaluations",
                evaluation_pb2.ListEvaluationsRequest(),
            ),
            (
                "trainer",
                trainer_service_pb2_grpc.TrainerServiceStub,
                "ListTrainingJobs",
                training_job_pb2.ListTrainingJobsRequest(),
            ),
            ("feedback", feedback_service_pb2_grpc.FeedbackServiceStub, "ListLoops", loop_pb2.ListLoopsRequest()),
        ):
            method_of: Any = getattr(make(self.channels[name]), method)
            asked[name] = lambda method_of=method_of, request=request: method_of(request)  # type: ignore[misc]
        asked["gateway"] = lambda: asyncio.to_thread(_read, f"http://{self.gateway}/api/v1/test-runs")
        return [self._call(name, call) for name, call in asked.items()]

    async def _call(self, name: str, call: Callable[[], Awaitable[object]]) -> None:
        while not self.is_over:
            self.calls[name] += 1
            try:
                await call()
            except Exception as error:
                self.failed.append(f"{name}: {type(error).__name__}: {error}")
            await asyncio.sleep(_CALL_PAUSE_SECONDS)

    async def line(self, number: int) -> None:
        """Start a run and its evaluation, wait for both, and begin again."""
        runs = test_runner_service_pb2_grpc.TestRunnerServiceStub(self.channels["test_runner"])
        evaluations = evaluator_service_pb2_grpc.EvaluatorServiceStub(self.channels["evaluator"])
        endpoint = test_run_pb2.Endpoint(base_url=self.base_url, model=MODEL)
        spec = test_run_pb2.TestRunSpec(endpoint=endpoint, test_suite_version_id=self.suite)
        for turn in count():
            if self.is_over:
                return
            begin = test_run_pb2.CreateTestRunRequest(request_id=f"{number}-{turn}", spec=spec)
            created = await patiently(lambda begin=begin: runs.CreateTestRun(begin), "the test runner")  # type: ignore[misc]
            run_id = created.test_run.test_run_id
            self.run_ids.append(run_id)
            judge = evaluation_pb2.CreateEvaluationRequest(request_id=run_id, test_run_id=run_id)
            await patiently(lambda judge=judge: evaluations.CreateEvaluation(judge), "the evaluator")  # type: ignore[misc]
            await self._judged(evaluations, judge)

    async def _judged(self, stub: Any, judge: evaluation_pb2.CreateEvaluationRequest) -> None:
        created = (await patiently(lambda: stub.CreateEvaluation(judge), "the evaluator")).evaluation

        def watch(after: int) -> Any:
            request = evaluation_pb2.WatchEvaluationRequest(evaluation_id=created.evaluation_id, after_sequence=after)
            return aiter(stub.WatchEvaluation(request))

        async for _ in follow(watch, lambda answer: int(answer.event.sequence), peer="the evaluator"):
            pass
        request = evaluation_pb2.GetEvaluationRequest(evaluation_id=created.evaluation_id)
        ended = (await patiently(lambda: stub.GetEvaluation(request), "the evaluator")).evaluation
        is_whole = ended.metrics.overall.num_cases == _NUM_CASES
        if ended.job.state != job_pb2.JOB_STATE_SUCCEEDED or not is_whole:
            self.lost.append(f"{judge.test_run_id}: {ended.job}")


def _read(url: str) -> None:
    with urllib.request.urlopen(url, timeout=_DEADLINE_SECONDS) as answer:
        answer.read()


async def measure(folder: Path, places: Databases, num_lines: int) -> dict[str, object]:
    """Replace every replica of every service once under load, and return what failed."""
    cluster, answer = Cluster(folder, places), says(_ANSWER)

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(_ANSWER_SECONDS)
        await answer(request, writer)

    async with AsyncExitStack() as ending:
        server = await ending.enter_async_context(running(behave))
        for balancer in cluster.balancers.values():
            await ending.enter_async_context(balancer.serving())
        ending.push_async_callback(cluster.end)
        for _ in range(_REPLICAS):
            await asyncio.gather(*map(cluster.add, SERVICES))
        cases = list(get_profile("roo_xml").draw(1, _NUM_CASES, categories=("single_call",)))
        suite = await add_suite(cluster.replicas["registry"][0][0], folder, "roo_xml/rolling", cases)
        channels = {
            name: await ending.enter_async_context(
                open_channel(cluster.target(name), deadline_seconds=_DEADLINE_SECONDS)
            )
            for name in SERVICES[:-1]
        }
        load = Load(channels, suite, server.base_url, cluster.target("gateway"))
        lines = [asyncio.ensure_future(work) for work in (*load.callers(), *map(load.line, range(num_lines)))]
        start, replaced = time.monotonic(), []
        for service in SERVICES * _REPLICAS:
            began = time.monotonic()
            await cluster.replace(service)
            replaced.append(f"{service} {time.monotonic() - began:.0f} s")
            print(f"  replaced {replaced[-1]}; {len(load.run_ids)} runs, {len(load.failed)} calls failed", flush=True)
        load.is_over = True
        await asyncio.gather(*lines)
    return {
        "seconds": round(time.monotonic() - start),
        "replaced": len(replaced),
        "calls": dict(load.calls),
        "failed": load.failed,
        "runs": len(load.run_ids),
        "lost": load.lost,
    }


def main() -> None:
    """Measure and print as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=4, help="runs at once")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, databases("postgresql", Path(name), SERVICES) as places:
        print(json.dumps(asyncio.run(measure(Path(name), places, chosen.lines)), indent=1))


if __name__ == "__main__":
    main()
