"""What a second test runner brings a run: `python -m tests.bench.testing.replicas [--help]`.

Real services over PostgreSQL, each test runner pinned to a core of its own with one thread, and a random model of the
size that is asked for. All are warm: the model is loaded before a run is measured. On a machine that does other things
besides, the wall clock measures those too, so processor time is what counts: how long the run would take on free cores
is simulated from the processor time of a window, with shares taken as they are, one window at a time. What a window
computes is the same in both cases and counts with one median; what the services do besides is measured for each.

With `--endpoint-seconds` a served model answers instead, each request after that time whatever else it does, and each
replica asks it `--concurrency` at once. Such a run waits more than it computes: the clock tells what a replica brings.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import re
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from urllib.request import urlopen

import psutil
from drillyard.test_runner.v1 import test_run_pb2, test_runner_service_pb2_grpc

from services.lm.tiny import write_tiny_model
from tests.contract.postgres import run_postgres
from tests.fakes.endpoint import MODEL as SERVED
from tests.fakes.endpoint import Request, running, says
from tests.integration.processes import ServiceProcess, start_service
from tests.integration.tiny_stack import (
    TestRunner,
    add_suite,
    connected,
    core_cases,
    create_run,
    finished_run,
    import_model,
)

# A replica that has nothing to do looks for a share every two seconds.
_MEAN_WAIT_SECONDS = 1.0
_WARM_REPEATS = 100
_LEAVE_SECONDS = 5.0
# A machine that others keep busy ends neither a lease nor the database's answers.
_LEASE_SECONDS = 300.0


@dataclass(frozen=True)
class Measured:
    """One run: wall-clock seconds, and the processor seconds of all services and of all workers."""

    seconds: float
    service_seconds: float
    worker_seconds: float


def main() -> None:
    """Print what one and two test runners take for the same run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=96)
    parser.add_argument("--window-size", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64, help="most new tokens of an answer")
    parser.add_argument("--hidden-size", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--runs", type=int, default=3, help="how often the run is repeated; medians count")
    parser.add_argument("--cores", type=int, nargs="+", default=[0, 1], help="one for each test runner")
    parser.add_argument("--endpoint-seconds", type=float, default=0.0, help="let an endpoint answer after this time")
    parser.add_argument("--concurrency", type=int, default=4, help="requests to the endpoint at once, of each replica")
    options = parser.parse_args()
    cases = asyncio.run(_measured(options))
    num_windows = -(-options.cases // options.window_size)
    worker_seconds = median(run.worker_seconds for runs in cases for run in runs)
    print(f"{num_windows} windows of {worker_seconds / num_windows:.2f} s of a worker's processor")
    ends = []
    for num_runners, runs in zip((1, len(options.cores)), cases, strict=True):
        service_seconds = median(run.service_seconds for run in runs)
        ends.append(simulated(num_windows, (worker_seconds + service_seconds) / num_windows, num_runners))
    if options.endpoint_seconds:
        ends = [median(run.seconds for run in runs) for runs in cases]
        print(f"by the clock: {ends[0]:.1f} s and {ends[1]:.1f} s, {ends[0] / ends[1]:.2f} times as fast")
        return
    print(f"simulated on free cores: {ends[0]:.1f} s and {ends[1]:.1f} s, {ends[0] / ends[1]:.2f} times as fast")


def simulated(num_windows: int, window_seconds: float, num_runners: int) -> float:
    """Return how long a run takes whose windows are taken one by one by who is free first."""
    free = [0.0] + [_MEAN_WAIT_SECONDS] * (num_runners - 1)
    ends = []
    for _ in range(num_windows):
        ends.append(heapq.heappop(free) + window_seconds)
        heapq.heappush(free, ends[-1])
    return max(ends)


async def _measured(options: argparse.Namespace) -> list[list[Measured]]:
    """Return the runs by one test runner, then those by all."""
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as ending:
        folder = Path(temporary)
        write_tiny_model(folder / "tiny", hidden_size=options.hidden_size, num_layers=options.layers)
        url = ending.enter_context(run_postgres())
        registry = ending.enter_context(start_service("registry", folder))
        await import_model(registry, folder / "tiny")
        suite = await add_suite(registry, folder, "roo_xml/small", core_cases(options.cases))
        settings = {"registry_address": registry.address, "num_threads": 1, "window_size": options.window_size}
        settings |= {"share_runs": "all", "lease_seconds": _LEASE_SECONDS, "idle_seconds": 3600, "database_url": url}
        runners: list[ServiceProcess] = []
        measured = []
        async with _answering(options) as asked:
            for cores in (options.cores[:1], options.cores[1:]):
                for core in cores:
                    runners.append(ending.enter_context(start_service("test_runner", folder, **settings)))
                    psutil.Process(runners[-1].process.pid).cpu_affinity([core])
                measured.append(await _runs(options, runners, test_suite_version_id=suite, **asked))
    return measured


async def _runs(options: argparse.Namespace, runners: list[ServiceProcess], **spec: Any) -> list[Measured]:
    measured = []
    async with connected(runners[0]) as channel:
        stub = test_runner_service_pb2_grpc.TestRunnerServiceStub(channel)
        if "endpoint" not in spec:
            await _warm(stub, runners, **spec)
        sampling = test_run_pb2.Sampling(max_new_tokens=options.tokens)
        for number in range(options.runs):
            before, begin = _processor_seconds(runners), time.monotonic()
            run = await create_run(stub, f"{len(runners)}-{number}", sampling=sampling, **spec)
            done = await finished_run(stub, run.test_run_id)
            seconds, after = time.monotonic() - begin, _processor_seconds(runners)
            assert done.num_transcripts == options.cases, done.job.error
            measured.append(Measured(seconds, after[0] - before[0], after[1] - before[1]))
            print(f"{len(runners)} test runners: {measured[-1]}", flush=True)
            await asyncio.sleep(_LEAVE_SECONDS)
    return measured


@asynccontextmanager
async def _answering(options: argparse.Namespace) -> AsyncIterator[dict[str, Any]]:
    """Yield what a run's spec says of who answers: nothing for the model, or an endpoint that takes its time."""
    if not options.endpoint_seconds:
        yield {}
        return
    answer = says("I look at the file first.\n<read_file>\n<path>src/main.py</path>\n</read_file>")

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(options.endpoint_seconds)
        await answer(request, writer)

    async with running(behave) as server:
        place = test_run_pb2.Endpoint(base_url=server.base_url, model=SERVED, max_concurrency=options.concurrency)
        yield {"model_version_id": "", "dtype": "", "endpoint": place}


async def _warm(stub: TestRunner, runners: list[ServiceProcess], **spec: Any) -> None:
    """Let runs go on until each test runner has loaded the model."""
    sampling, name = test_run_pb2.Sampling(max_new_tokens=1), f"warm-{len(runners)}"
    run = await create_run(stub, name, sampling=sampling, num_repeats=_WARM_REPEATS, **spec)
    while not all(map(_has_answered, runners)):
        await asyncio.sleep(0.2)
    await stub.CancelTestRun(test_run_pb2.CancelTestRunRequest(test_run_id=run.test_run_id))
    await finished_run(stub, run.test_run_id)
    # Who only shared the run leaves it a second later.
    await asyncio.sleep(_LEAVE_SECONDS)


def _has_answered(runner: ServiceProcess) -> bool:
    with urlopen(f"http://{runner.metrics_address}/metrics") as response:
        counts = re.findall(rb"test_runner_transcripts_total\{.*\} (\S+)", response.read())
    return any(map(float, counts))


def _processor_seconds(runners: list[ServiceProcess]) -> tuple[float, float]:
    services = [psutil.Process(runner.process.pid) for runner in runners]
    children = [child for service in services for child in service.children(recursive=True)]
    return _sum_of(services), _sum_of(children)


def _sum_of(processes: list[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return sum(each.user + each.system for each in times)


if __name__ == "__main__":
    main()
