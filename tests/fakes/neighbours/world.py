"""The four services that feedback calls, as fakes behind one real gRPC server on loopback."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from drillyard.evaluator.v1 import evaluator_service_pb2_grpc
from drillyard.registry.v1 import registry_service_pb2_grpc
from drillyard.test_runner.v1 import test_runner_service_pb2_grpc
from drillyard.trainer.v1 import trainer_service_pb2_grpc

from services.chassis.jobs import Job
from services.chassis.server import Server
from services.chassis.telemetry import Telemetry
from tests.fakes.neighbours.evaluator import FakeEvaluator
from tests.fakes.neighbours.gates import Gates
from tests.fakes.neighbours.registry import FakeRegistry
from tests.fakes.neighbours.test_runner import FakeTestRunner
from tests.fakes.neighbours.trainer import FakeTrainer


class World:
    """Fakes that know each other; what they hold outlives their server."""

    def __init__(self) -> None:
        self.gates = Gates()
        self.registry = FakeRegistry(self.gates)  # type: ignore[abstract]
        self.test_runner = FakeTestRunner(self.gates)  # type: ignore[abstract]
        self.evaluator = FakeEvaluator(self.gates, self.test_runner, self.registry)  # type: ignore[abstract]
        self.trainer = FakeTrainer(self.gates, self.registry)  # type: ignore[abstract]

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Do the jobs that come."""
        jobs = (self.test_runner.jobs, self.evaluator.jobs, self.trainer.jobs)
        for kind in jobs:
            await kind.start()
        try:
            yield
        finally:
            for kind in jobs:
                await kind.stop()

    @asynccontextmanager
    async def served(self, port: int = 0) -> AsyncIterator[int]:
        """Answer RPCs on loopback and yield the port."""
        server = Server(Telemetry())
        server.add_servicer(registry_service_pb2_grpc.add_RegistryServiceServicer_to_server, self.registry, "registry")
        server.add_servicer(
            test_runner_service_pb2_grpc.add_TestRunnerServiceServicer_to_server, self.test_runner, "test_runner"
        )
        server.add_servicer(
            evaluator_service_pb2_grpc.add_EvaluatorServiceServicer_to_server, self.evaluator, "evaluator"
        )
        server.add_servicer(trainer_service_pb2_grpc.add_TrainerServiceServicer_to_server, self.trainer, "trainer")
        bound = server.bind("127.0.0.1", port, reflection=False)
        await server.start()
        try:
            yield bound
        finally:
            await server.drain(0.1)

    async def jobs(self) -> list[Job]:
        """Return the jobs of all neighbours."""
        neighbours = (self.test_runner, self.evaluator, self.trainer)
        return [job for neighbour in neighbours for job in await neighbour.jobs.all()]

    async def made(self) -> Counter[str]:
        """Return how many of each thing a loop has made, by the round and step that asked for it."""
        requests = [job.request_id for job in await self.jobs()]
        for shelf in (self.registry.suites, self.registry.datasets):
            requests += [request_id for request_id in shelf.requests if not request_id.startswith("built-in:")]
        return Counter("/".join(request_id.split("/")[-2:]) for request_id in requests)
