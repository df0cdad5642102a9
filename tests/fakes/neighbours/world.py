"""The four services that feedback calls, as fakes behind one real gRPC server on loopback."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from drillyard.evaluator.v1 import (
    comparison_pb2,
    evaluation_pb2,
    evaluator_service_pb2_grpc,
    metrics_pb2,
    verdict_pb2,
)
from drillyard.registry.v1 import registry_service_pb2_grpc
from drillyard.test_runner.v1 import test_run_pb2, test_runner_service_pb2_grpc
from drillyard.trainer.v1 import checkpoint_pb2, trainer_service_pb2_grpc, training_job_pb2, training_spec_pb2
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from services.chassis.calls import CallLimit
from services.chassis.errors import ServiceError
from services.chassis.jobs import Job, Json
from services.chassis.server import Server
from services.chassis.telemetry import Telemetry
from tests.fakes.neighbours.jobs import FakeJobs, Gates
from tests.fakes.neighbours.registry import FakeRegistry


class FakeTestRunner(test_runner_service_pb2_grpc.TestRunnerServiceServicer):
    """Generates nothing: its runs end at once, the next `num_torn` of them incomplete."""

    def __init__(self, gates: Gates) -> None:
        self.num_torn, self.num_tokens = 0, 100
        self.jobs = FakeJobs("test_run", gates, self._run)
        self.jobs.serve(self, test_run_pb2, _spec_and_result(test_run_pb2.TestRunSpec))

    async def spec_of(self, test_run_id: str) -> test_run_pb2.TestRunSpec:
        """Return what a run does; one that finishes another does what that one does."""
        spec = ParseDict((await self.jobs.store.get(test_run_id)).spec, test_run_pb2.TestRunSpec())
        return await self.spec_of(spec.repeat_of_test_run_id) if spec.keep_answers else spec

    async def _run(self, job: Job) -> Json:
        self.num_torn -= 1
        return {"is_incomplete": self.num_torn >= 0, "num_generated_tokens": self.num_tokens}


@dataclass
class Judgement:
    """What every evaluation finds.

    Attributes:
        rates: Conforming rate by model version, or by "VERSION on SUITE"; 0 when it is not named.
        causes: Cause by which the cases of a tool fail in the probe; "" makes them conform.
        other_cause: Cause of the tools that are not named.
    """

    rates: dict[str, float] = field(default_factory=dict)
    causes: Mapping[str, str] = field(default_factory=dict)
    other_cause: str = "no_call"


class FakeEvaluator(evaluator_service_pb2_grpc.EvaluatorServiceServicer):
    """Its verdicts are those that a test has written down."""

    def __init__(self, gates: Gates, test_runner: FakeTestRunner, registry: FakeRegistry) -> None:
        self.jobs = FakeJobs("evaluation", gates, self._judge)
        self.jobs.serve(self, evaluation_pb2, _fields_of_evaluation)
        self.judgement = Judgement()
        self._test_runner = test_runner
        self._registry = registry

    async def ListVerdicts(
        self, request: verdict_pb2.ListVerdictsRequest, context: Any
    ) -> verdict_pb2.ListVerdictsResponse:
        job = await self.jobs.store.get(request.evaluation_id)
        cases = self._registry.cases[(await self._test_runner.spec_of(job.spec["test_run_id"])).test_suite_version_id]
        begin = int(request.page_token or 0)
        end = begin + min(request.page_size, 20)
        verdicts = [
            verdict_pb2.Verdict(case_id=case.case_id, tool=case.tool, category=case.category, cause=cause)
            for case in cases[begin:end]
            for cause in [self.judgement.causes.get(case.tool, self.judgement.other_cause)]
        ]
        return verdict_pb2.ListVerdictsResponse(verdicts=verdicts, next_page_token=str(end) * (end < len(cases)))

    async def CompareEvaluations(self, request: Any, context: Any) -> comparison_pb2.CompareEvaluationsResponse:
        ids = (request.before_evaluation_id, request.after_evaluation_id)
        before, after = [((await self.jobs.store.get(job_id)).result or {})["rate"] for job_id in ids]
        mean = after - before
        change = comparison_pb2.Difference(mean=mean, interval=metrics_pb2.Interval(low=mean - 0.05, high=mean + 0.05))
        return comparison_pb2.CompareEvaluationsResponse(comparison=comparison_pb2.Comparison(conforming=change))

    async def _judge(self, job: Job) -> Json:
        run = await self._test_runner.spec_of(job.spec["test_run_id"])
        rates = self.judgement.rates
        suite_rate = rates.get(f"{run.model_version_id} on {run.test_suite_version_id}")
        return {"rate": rates.get(run.model_version_id, 0.0) if suite_rate is None else suite_rate}


def _fields_of_evaluation(job: Job) -> dict[str, Any]:
    names = ("conforming_rate", "accepted_rate", "well_formed_rate")
    rates = metrics_pb2.Rates(num_cases=130, **dict.fromkeys(names, (job.result or {}).get("rate", 0.0)))
    return {"test_run_id": job.spec["test_run_id"], "metrics": metrics_pb2.Metrics(overall=rates)}


class FakeTrainer(trainer_service_pb2_grpc.TrainerServiceServicer):
    """Trains nothing: its jobs register a new version at once, or, where `is_faulty` says so, fail with `fault`."""

    def __init__(self, gates: Gates, registry: FakeRegistry) -> None:
        self.jobs = FakeJobs("training_job", gates, self._train)
        self.jobs.serve(self, training_job_pb2, _spec_and_result(training_spec_pb2.TrainingJobSpec))
        self.fault: ServiceError | None = None
        self.is_faulty: Callable[[Json], bool] = lambda spec: True
        self._registry = registry

    async def ListCurvePoints(self, request: Any, context: Any) -> checkpoint_pb2.ListCurvePointsResponse:
        # Two attempts made the second step.
        steps = (1, 2, 2) if request.metric == "tokens" else ()
        points = [checkpoint_pb2.CurvePoint(step=step, value=500.0) for step in steps]
        return checkpoint_pb2.ListCurvePointsResponse(curve_points=points)

    async def _train(self, job: Job) -> Json:
        if self.fault is not None and self.is_faulty(job.spec):
            raise self.fault
        name = job.spec.get("output_model_id") or job.spec["model_version_id"].partition("@")[0]
        return {"model_version_id": self._registry.models.register(f"{job.job_id}/result", name, job.job_id)}


def _spec_and_result(message_type: type[Message]) -> Callable[[Job], dict[str, Any]]:
    return lambda job: {"spec": ParseDict(job.spec, message_type()), **(job.result or {})}


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
        async with AsyncExitStack() as ending:
            for service in (self.test_runner, self.evaluator, self.trainer):
                await service.jobs.runner.start()
                ending.push_async_callback(service.jobs.runner.stop, 1.0)
            yield

    @asynccontextmanager
    async def served(self, port: int = 0) -> AsyncIterator[int]:
        """Answer RPCs on loopback and yield the port."""
        server = Server(Telemetry(), CallLimit(64, 64))
        for name, add, servicer in (
            ("registry", registry_service_pb2_grpc.add_RegistryServiceServicer_to_server, self.registry),
            ("test_runner", test_runner_service_pb2_grpc.add_TestRunnerServiceServicer_to_server, self.test_runner),
            ("evaluator", evaluator_service_pb2_grpc.add_EvaluatorServiceServicer_to_server, self.evaluator),
            ("trainer", trainer_service_pb2_grpc.add_TrainerServiceServicer_to_server, self.trainer),
        ):
            server.add_servicer(add, servicer, name)
        bound = server.bind("127.0.0.1", port, reflection=False)
        await server.start()
        try:
            yield bound
        finally:
            await server.drain(0.1)

    async def jobs(self) -> list[Job]:
        """Return the jobs of all neighbours."""
        return [job for service in (self.test_runner, self.evaluator, self.trainer) for job in await service.jobs.all()]

    async def made(self) -> Counter[str]:
        """Return how many of each thing a loop has made, by the round and step that asked for it."""
        requests = [job.request_id for job in await self.jobs()]
        for shelf in (self.registry.suites, self.registry.datasets):
            requests += [request_id for request_id in shelf.requests if not request_id.startswith("built-in:")]
        return Counter("/".join(request_id.split("/")[-2:]) for request_id in requests)
