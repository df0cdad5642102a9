"""One level of the load test: so many runs, each with its evaluation and one who watches it, all at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drillyard.evaluator.v1 import evaluation_pb2, evaluator_service_pb2_grpc
from drillyard.job.v1 import job_pb2
from drillyard.test_runner.v1 import test_run_pb2, test_runner_service_pb2_grpc

from services.chassis.channel import open_channel
from services.chassis.waiting import follow, patiently
from services.protocols.profile import get_profile
from tests.bench.cluster.scale.stack import Gate, Stack
from tests.fakes.endpoint import MODEL
from tests.integration.tiny_stack import add_suite

_HELD_SECONDS = 30.0
_NUM_ASKING = 16
# The most that a replica sends to one endpoint.
_CONCURRENCY = 256
_NUM_GETS, _NUM_LISTS, _PAGE_SIZE = 100, 20, 50
_PATIENCE_SECONDS = 1800.0
# Long enough that nothing is asked twice while the gate is shut.
_CASE_SECONDS = 3600.0


@dataclass
class Measured:
    """What was measured at one level.

    Attributes:
        seconds: Of the clock, by phase.
        processor_seconds: By phase and service.
        run_seconds: For how long runs were at work, all together, by phase.
        calls: Times of calls in seconds, in ascending order, by name.
    """

    num_runs: int
    num_cases: int
    seconds: dict[str, float] = field(default_factory=dict)
    processor_seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    run_seconds: dict[str, float] = field(default_factory=dict)
    calls: dict[str, list[float]] = field(default_factory=dict)
    queue_ages: dict[str, float] = field(default_factory=dict)
    memory_bytes: dict[str, int] = field(default_factory=dict)
    database_bytes: dict[str, int] = field(default_factory=dict)
    num_connections: int = 0


class Load:
    """Asks for runs and evaluations as many callers at once would, over channels to all replicas."""

    def __init__(self, stack: Stack, gate: Gate, suite: str, measured: Measured) -> None:
        self._stack, self._gate, self._suite, self._measured = stack, gate, suite, measured
        self._numbers = [str(number) for number in range(measured.num_runs)]
        self._num_at_work, self._run_seconds, self._counted = 0, 0.0, time.monotonic()
        self._run_ids: list[str] = []
        self._evaluation_ids: list[str] = []

    async def run(self) -> None:
        """Go through the phases: idle, beginning, held at the endpoint, answered."""
        async with AsyncExitStack() as ending:
            channels = [
                await ending.enter_async_context(open_channel(self._stack.target(service), deadline_seconds=300))
                for service in ("test_runner", "evaluator")
            ]
            self._runs = test_runner_service_pb2_grpc.TestRunnerServiceStub(channels[0])
            self._evaluations = evaluator_service_pb2_grpc.EvaluatorServiceStub(channels[1])
            await self._phase("idle", asyncio.sleep(_HELD_SECONDS))
            before = self._database_bytes()
            await self._phase("begin", self._begin())
            watchers = [asyncio.create_task(self._watch(run_id)) for run_id in self._run_ids]
            await self._phase("held", asyncio.sleep(_HELD_SECONDS))
            await self._phase("asked", self._ask())
            sampler = asyncio.create_task(self._sample())
            self._gate.open(is_open=True)
            await self._phase("answered", self._ended(watchers))
            sampler.cancel()
            await asyncio.gather(sampler, return_exceptions=True)
            self._gate.open(is_open=False)
        self._measured.memory_bytes = self._stack.memory_bytes()
        self._measured.database_bytes = {name: size - before[name] for name, size in self._database_bytes().items()}

    async def _phase(self, name: str, work: Awaitable[object]) -> None:
        self._count(0)
        start, before, run_seconds = time.monotonic(), self._stack.processor_seconds(), self._run_seconds
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await work
        after = self._stack.processor_seconds()
        self._count(0)
        self._measured.run_seconds[name] = self._run_seconds - run_seconds
        self._measured.seconds[name] = time.monotonic() - start
        self._measured.processor_seconds[name] = {service: after[service] - before[service] for service in after}
        print(f"  {name}: {self._measured.seconds[name]:.1f} s", flush=True)

    def _count(self, change: int) -> None:
        """Add up for how long how many runs are at work, whose number changes now."""
        now = time.monotonic()
        self._run_seconds += self._num_at_work * (now - self._counted)
        self._num_at_work, self._counted = self._num_at_work + change, now

    async def _begin(self) -> None:
        """Create all runs and their evaluations, and return when each run waits for the endpoint."""
        self._run_ids = await self._all("CreateTestRun", self._numbers, self._create_run)
        self._evaluation_ids = await self._all("CreateEvaluation", self._run_ids, self._create_evaluation)
        num_asked = min(len(self._run_ids), _CONCURRENCY * len(self._stack.processes["test_runner"]))
        while self._gate.num_inside < num_asked or await self._look():
            await asyncio.sleep(1)

    async def _ask(self) -> None:
        await self._all("GetTestRun", (self._run_ids * _NUM_GETS)[:_NUM_GETS], self._get_run)
        await self._all("ListTestRuns", range(_NUM_LISTS), self._list_runs)

    async def _ended(self, watchers: list[asyncio.Task[None]]) -> None:
        await asyncio.gather(*watchers)
        await self._all("", self._evaluation_ids, self._follow_evaluation, num_asking=len(self._evaluation_ids))

    async def _all(
        self, name: str, subjects: Iterable[Any], call: Callable[[Any], Awaitable[Any]], num_asking: int = _NUM_ASKING
    ) -> list[Any]:
        places, seconds = asyncio.Semaphore(num_asking), []

        async def one(subject: Any) -> Any:
            async with places:
                start = time.monotonic()
                answer = await call(subject)
                seconds.append(time.monotonic() - start)
                return answer

        answers = await asyncio.gather(*map(one, subjects))
        if name:
            self._measured.calls[name] = sorted(seconds)
        return list(answers)

    async def _create_run(self, number: str) -> str:
        endpoint = test_run_pb2.Endpoint(base_url=self._gate.base_url, model=MODEL, max_concurrency=_CONCURRENCY)
        spec = test_run_pb2.TestRunSpec(
            endpoint=endpoint, test_suite_version_id=self._suite, case_timeout_seconds=_CASE_SECONDS
        )
        request = test_run_pb2.CreateTestRunRequest(request_id=f"run-{number}", spec=spec)
        answer = await patiently(lambda: self._runs.CreateTestRun(request), "the test runner")
        self._count(1)
        return str(answer.test_run.test_run_id)

    async def _create_evaluation(self, run_id: str) -> str:
        request = evaluation_pb2.CreateEvaluationRequest(request_id=run_id, test_run_id=run_id)
        answer = await patiently(lambda: self._evaluations.CreateEvaluation(request), "the evaluator")
        return str(answer.evaluation.evaluation_id)

    async def _get_run(self, run_id: str) -> None:
        request = test_run_pb2.GetTestRunRequest(test_run_id=run_id)
        await patiently(lambda: self._runs.GetTestRun(request), "the test runner")

    async def _list_runs(self, _number: int) -> None:
        request = test_run_pb2.ListTestRunsRequest(page_size=_PAGE_SIZE)
        await patiently(lambda: self._runs.ListTestRuns(request), "the test runner")

    async def _watch(self, run_id: str) -> None:
        def begin(after: int) -> Any:
            return self._runs.WatchTestRun(test_run_pb2.WatchTestRunRequest(test_run_id=run_id, after_sequence=after))

        async for _ in follow(begin, lambda answer: int(answer.event.sequence), peer="the test runner"):
            pass
        self._count(-1)

    async def _follow_evaluation(self, evaluation_id: str) -> None:
        def begin(after: int) -> Any:
            request = evaluation_pb2.WatchEvaluationRequest(evaluation_id=evaluation_id, after_sequence=after)
            return self._evaluations.WatchEvaluation(request)

        async for _ in follow(begin, lambda answer: int(answer.event.sequence), peer="the evaluator"):
            pass
        asked = evaluation_pb2.GetEvaluationRequest(evaluation_id=evaluation_id)
        ended = (await patiently(lambda: self._evaluations.GetEvaluation(asked), "the evaluator")).evaluation
        assert ended.job.state == job_pb2.JOB_STATE_SUCCEEDED, ended.job.error
        assert ended.metrics.overall.num_cases == self._measured.num_cases, ended.metrics.overall

    async def _sample(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(5)

    async def _look(self) -> bool:
        """Take note of how long jobs wait and how many connections there are at most; return whether any job waits."""
        ages, connections = await asyncio.to_thread(lambda: (self._stack.queue_ages(), self._stack.num_connections()))
        for kind, age in ages.items():
            self._measured.queue_ages[kind] = max(self._measured.queue_ages.get(kind, 0.0), age)
        self._measured.num_connections = max(self._measured.num_connections, connections)
        return any(ages.values())

    def _database_bytes(self) -> dict[str, int]:
        return {service: self._stack.database_bytes(service) for service in ("test_runner", "evaluator")}


async def measure(stack: Stack, gate: Gate, folder: Path, *, num_runs: int, num_cases: int) -> Measured:
    """Load the stack with `num_runs` of `num_cases` each at once, and return what was measured."""
    cases = list(get_profile("roo_xml").draw(1, num_cases, categories=("single_call",)))
    (registry,) = stack.processes["registry"]
    suite = await add_suite(registry, folder, "roo_xml/load", cases)
    measured = Measured(num_runs, num_cases)
    await Load(stack, gate, suite, measured).run()
    return measured
