"""A loop job on a bench: the real job and clients, with fakes for the other four services on loopback."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drillyard.registry.v1 import export_pb2

from services.chassis.artifacts import ArtifactStore
from services.chassis.channel import open_channel
from services.chassis.jobs import Job, JobRunner, Json
from services.chassis.wire import from_document
from services.feedback.clients.evaluator import GrpcEvaluator
from services.feedback.clients.exports import GrpcExports
from services.feedback.clients.registry import GrpcRegistry
from services.feedback.clients.test_runner import GrpcTestRunner
from services.feedback.clients.trainer import GrpcTrainer
from services.feedback.decisions.decision import DecisionChange
from services.feedback.domain.loop import LOOP_KIND, Loop
from services.feedback.domain.rounds import STEP_EVENT, Step, StopReason
from services.feedback.domain.spec import LoopSpec
from services.feedback.domain.spending import Spent
from services.feedback.jobs.loop import LoopJob
from services.feedback.jobs.steps import Services
from services.feedback.store.jobs import JobLoopStore, JobShipmentStore
from services.feedback.usecases.jobs import FeedbackUseCases
from tests.fakes.neighbours.jobs import FakeJobs
from tests.fakes.neighbours.world import World
from tests.unit.chassis.jobs.memory_store import MemoryJobStore
from tests.unit.feedback.decisions.evidence import Evidence

# A bound for what hangs, not for a slow machine.
_PATIENCE_SECONDS = 240
SPEC = from_document(
    LoopSpec,
    {
        "model_version_id": "tiny",
        "test_suite_version_id": "roo_xml/core@1",
        "goals": [{"metric": "conforming_rate", "minimum": 0.8}],
        "budget": {"max_rounds": 2},
        "seed": 7,
        "num_examples": 26,
    },
)


class MemoryAnswers(dict[tuple[str, int], DecisionChange]):
    """Answers to decisions that end with the test."""

    async def give(self, loop_id: str, number: int, change: DecisionChange) -> DecisionChange:
        return self.setdefault((loop_id, number), change)

    async def find(self, loop_id: str, number: int) -> DecisionChange | None:
        return self.get((loop_id, number))

    async def forget(self, loop_id: str) -> None:
        for key in [key for key in self if key[0] == loop_id]:
            del self[key]


class MemoryLoopStore(JobLoopStore):
    """Loops that end with the test; `jobs` is what a runner works on."""

    def __init__(self) -> None:
        self.jobs = MemoryJobStore()
        super().__init__(self.jobs, MemoryAnswers())


@dataclass
class Tally:
    """Counts what the job measures."""

    steps: list[Step] = field(default_factory=list)
    reasons: list[StopReason] = field(default_factory=list)
    goals: list[tuple[str, bool]] = field(default_factory=list)
    spending: list[tuple[Spent, Spent]] = field(default_factory=list)

    def step_ended(self, step: Step, seconds: float) -> None:
        assert seconds >= 0
        self.steps.append(step)

    def loop_ended(self, reason: StopReason) -> None:
        self.reasons.append(reason)

    def goal_read(self, metric: str, is_met: bool) -> None:
        self.goals.append((metric, is_met))

    def spent(self, before: Spent, after: Spent) -> None:
        self.spending.append((before, after))


@dataclass
class Neighbourhood:
    """The server of the neighbours, which can go and come back on its port."""

    world: World
    server: AsyncExitStack
    port: int

    async def stop(self) -> None:
        """End the server as a service ends that is asked to."""
        await self.server.aclose()

    async def restart(self) -> None:
        """End the server and start another."""
        await self.stop()
        await self.server.enter_async_context(self.world.served(self.port))


@dataclass
class Bench:
    """Everything around one loop job."""

    world: World
    services: Services
    store: MemoryLoopStore
    artifacts: ArtifactStore
    neighbourhood: Neighbourhood
    exports: FakeJobs
    evidence: Evidence
    tally: Tally = field(default_factory=Tally)
    clock: Callable[[], float] = time.monotonic

    @property
    def usecases(self) -> FeedbackUseCases:
        return FeedbackUseCases(self.store, self.services.registry, JobShipmentStore(self.store.jobs))

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Run a runner of loops, as a process does until it is asked to end."""
        job = LoopJob(
            self.services,
            self.store,
            self.artifacts,
            measures=self.tally,
            clock=self.clock,
            beat_seconds=0.05,
        )
        runner = JobRunner(self.store.jobs, owner="bench", is_only_owner=True)
        runner.register(LOOP_KIND, job.run, cleanup=job.clean_up)
        await runner.start()
        try:
            yield
        finally:
            await runner.stop(10.0)

    async def until_ended(self, loop_id: str) -> Loop:
        """Return the loop once it has ended."""

        async def drain() -> None:
            async for _ in self.store.watch(loop_id, 0):
                pass

        await asyncio.wait_for(drain(), _PATIENCE_SECONDS)
        return await self.store.get(loop_id)

    async def until_told(self, loop_id: str, step: Step) -> None:
        """Return once a step is told as started."""

        async def listen() -> None:
            async for event in self.store.watch(loop_id, 0):
                if event.type == STEP_EVENT and (event.payload["step"], event.payload["state"]) == (step, "started"):
                    return

        await asyncio.wait_for(listen(), _PATIENCE_SECONDS)

    async def play(self, spec: LoopSpec = SPEC) -> Loop:
        """Create a loop and return it once it has ended."""
        async with self.at_work():
            return await self.play_beside(spec)

    async def play_beside(self, spec: LoopSpec) -> Loop:
        """The same while others are at work."""
        loop = await self.usecases.create_loop("play", spec)
        return await self.until_ended(loop.loop_id)

    async def steps(self, loop_id: str) -> list[dict[str, Any]]:
        """Return the payloads of the loop's step events."""
        events = await self.store.jobs.events(loop_id, 0, 1000)
        return [event.payload for event in events if event.type == STEP_EVENT]


@asynccontextmanager
async def set_up(tmp_path: Path) -> AsyncIterator[Bench]:
    """Yield a bench whose neighbours are at work."""
    world = World()
    evidence = Evidence(world)
    exports = FakeJobs("export", world.gates, lambda job: _exported(world, job))
    exports.serve(world.registry, export_pb2, lambda job: job.result or {})
    async with AsyncExitStack() as stack:
        await exports.runner.start()
        stack.push_async_callback(exports.runner.stop, 1.0)
        await stack.enter_async_context(world.at_work())
        server = await stack.enter_async_context(AsyncExitStack())
        port = await server.enter_async_context(world.served())
        channel = open_channel(f"127.0.0.1:{port}")
        stack.push_async_callback(channel.close)
        services = Services(
            GrpcRegistry(channel),
            GrpcTestRunner(channel),
            GrpcEvaluator(channel),
            GrpcTrainer(channel),
            GrpcExports(channel),
        )
        artifacts = ArtifactStore((tmp_path / "artifacts").as_uri())
        street = Neighbourhood(world, server, port)
        yield Bench(world, services, MemoryLoopStore(), artifacts, street, exports, evidence)


async def _exported(world: World, job: Job) -> Json:
    name = f"{job.spec['model_version_id'].replace('@', '-')}-gguf"
    return {"model_version_id": world.registry.models.register(f"{job.job_id}/form", name, job.spec)}
