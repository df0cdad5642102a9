"""The five services over one world of rows; what they create is running at once and never ends by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from drillyard.evaluator.v1 import evaluator_service_pb2_grpc
from drillyard.feedback.v1 import feedback_service_pb2_grpc, loop_pb2
from drillyard.registry.v1 import dataset_pb2, import_pb2, model_pb2, registry_service_pb2_grpc, test_suite_pb2
from drillyard.test_runner.v1 import test_runner_service_pb2_grpc
from drillyard.trainer.v1 import checkpoint_pb2, trainer_service_pb2_grpc, training_job_pb2

from services.chassis.errors import InvalidArgument, Unimplemented
from services.chassis.server import Server
from services.chassis.telemetry import Telemetry
from tests.fakes.system import rows
from tests.fakes.system.answering import cancelled, events, find, page
from tests.fakes.system.evaluator import Evaluator
from tests.fakes.system.rows import RUNNING, World
from tests.fakes.system.test_runner import TestRunner


class Models(registry_service_pb2_grpc.RegistryServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    async def ListModels(self, request: Any, context: Any) -> Any:
        names = sorted({one.model_id for one in self.world.model_versions})
        listed, token = page([model_pb2.Model(model_id=name, latest_version=2) for name in names], request)
        return model_pb2.ListModelsResponse(models=listed, next_page_token=token)

    async def GetModel(self, request: Any, context: Any) -> Any:
        one = find(self.world.model_versions, "model_id", request.model_id, "model")
        return model_pb2.GetModelResponse(model=model_pb2.Model(model_id=one.model_id, latest_version=one.version))

    async def ListModelVersions(self, request: Any, context: Any) -> Any:
        listed, token = page(self.world.model_versions, request)
        return model_pb2.ListModelVersionsResponse(model_versions=listed, next_page_token=token)

    async def GetModelVersion(self, request: Any, context: Any) -> Any:
        one = find(self.world.model_versions, "model_version_id", request.model_version_id, "model version")
        return model_pb2.GetModelVersionResponse(model_version=one)

    async def CreateImport(self, request: Any, context: Any) -> Any:
        place = request.source.WhichOneof("source")
        if place in ("hub_id", "ollama_tag"):
            raise Unimplemented("Imports from a hub are not built in this version.", "Import a file.")
        path = getattr(request.source, place) if place else ""
        if not path.startswith("/"):
            raise InvalidArgument(f"The path {path!r} is not absolute.", "Give an absolute path.", field="source")
        import_id = f"import-{len(self.world.imports)}"
        one = import_pb2.Import(import_id=import_id, model_id=request.model_id, source=request.source)
        one.job.CopyFrom(rows.job(import_id, RUNNING, phase="convert", done=40, total=100, unit="MB", age=3))
        self.world.imports.insert(0, one)
        return import_pb2.CreateImportResponse(model_import=one)

    async def GetImport(self, request: Any, context: Any) -> Any:
        return import_pb2.GetImportResponse(
            model_import=find(self.world.imports, "import_id", request.import_id, "import")
        )

    async def ListImports(self, request: Any, context: Any) -> Any:
        listed, token = page(self.world.imports, request)
        return import_pb2.ListImportsResponse(imports=listed, next_page_token=token)

    async def CancelImport(self, request: Any, context: Any) -> Any:
        one = find(self.world.imports, "import_id", request.import_id, "import")
        cancelled(one.job)
        return import_pb2.CancelImportResponse(model_import=one)

    async def WatchImport(self, request: Any, context: Any) -> AsyncIterator[Any]:
        one = find(self.world.imports, "import_id", request.import_id, "import")
        async for response in events(one.job, request.after_sequence, import_pb2.WatchImportResponse):
            yield response


class Registry(Models):
    async def ListDatasetVersions(self, request: Any, context: Any) -> Any:
        listed, token = page(self.world.datasets, request)
        return dataset_pb2.ListDatasetVersionsResponse(dataset_versions=listed, next_page_token=token)

    async def GetDatasetVersion(self, request: Any, context: Any) -> Any:
        one = find(self.world.datasets, "dataset_version_id", request.dataset_version_id, "dataset version")
        return dataset_pb2.GetDatasetVersionResponse(dataset_version=one)

    async def CreateDatasetVersion(self, request: Any, context: Any) -> Any:
        name = f"{request.dataset_id}@1"
        one = dataset_pb2.DatasetVersion(
            dataset_version_id=name, dataset_id=request.dataset_id, artifact=request.artifact
        )
        self.world.datasets.insert(0, one)
        return dataset_pb2.CreateDatasetVersionResponse(dataset_version=one)

    async def ListTestSuiteVersions(self, request: Any, context: Any) -> Any:
        listed, token = page(self.world.suites, request)
        return test_suite_pb2.ListTestSuiteVersionsResponse(test_suite_versions=listed, next_page_token=token)

    async def GetTestSuiteVersion(self, request: Any, context: Any) -> Any:
        one = find(self.world.suites, "test_suite_version_id", request.test_suite_version_id, "test suite version")
        return test_suite_pb2.GetTestSuiteVersionResponse(test_suite_version=one)

    async def CreateTestSuiteVersion(self, request: Any, context: Any) -> Any:
        name = f"{request.test_suite_id}@1"
        one = test_suite_pb2.TestSuiteVersion(
            test_suite_version_id=name,
            test_suite_id=request.test_suite_id,
            artifact=request.artifact,
            produced_by=request.produced_by,
            provenance=request.provenance,
        )
        self.world.suites.insert(0, one)
        return test_suite_pb2.CreateTestSuiteVersionResponse(test_suite_version=one)

    async def ValidateTestSuite(self, request: Any, context: Any) -> Any:
        problem = test_suite_pb2.TestSuiteProblem(line=2, problem="is not JSON")
        return test_suite_pb2.ValidateTestSuiteResponse(num_cases=1, problems=[problem])

    async def ListTestCases(self, request: Any, context: Any) -> Any:
        find(self.world.suites, "test_suite_version_id", request.test_suite_version_id, "test suite version")
        listed, token = page(self.world.cases, request)
        return test_suite_pb2.ListTestCasesResponse(test_cases=listed, next_page_token=token)


class Trainer(trainer_service_pb2_grpc.TrainerServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    def _job(self, job_id: str) -> Any:
        return find(self.world.training_jobs, "training_job_id", job_id, "training job")

    async def CreateTrainingJob(self, request: Any, context: Any) -> Any:
        find(self.world.model_versions, "model_version_id", request.spec.model_version_id, "model version")
        find(self.world.datasets, "dataset_version_id", request.spec.dataset_version_id, "dataset version")
        if request.spec.learning_rate < 0:
            raise InvalidArgument("learning_rate is negative.", "Give a positive one.", field="spec.learning_rate")
        job_id = f"training_job-{len(self.world.training_jobs)}"
        one = training_job_pb2.TrainingJob(training_job_id=job_id, spec=request.spec)
        one.job.CopyFrom(rows.job(job_id, RUNNING, phase="start_ray", age=2))
        self.world.training_jobs.insert(0, one)
        self.world.points[job_id], self.world.checkpoints[job_id] = [], []
        return training_job_pb2.CreateTrainingJobResponse(training_job=one)

    async def GetTrainingJob(self, request: Any, context: Any) -> Any:
        return training_job_pb2.GetTrainingJobResponse(training_job=self._job(request.training_job_id))

    async def ListTrainingJobs(self, request: Any, context: Any) -> Any:
        listed, token = page(self.world.training_jobs, request)
        return training_job_pb2.ListTrainingJobsResponse(training_jobs=listed, next_page_token=token)

    async def CancelTrainingJob(self, request: Any, context: Any) -> Any:
        one = self._job(request.training_job_id)
        cancelled(one.job)
        return training_job_pb2.CancelTrainingJobResponse(training_job=one)

    async def WatchTrainingJob(self, request: Any, context: Any) -> AsyncIterator[Any]:
        job = self._job(request.training_job_id).job
        async for response in events(job, request.after_sequence, training_job_pb2.WatchTrainingJobResponse):
            yield response

    async def ListCheckpoints(self, request: Any, context: Any) -> Any:
        self._job(request.training_job_id)
        listed, token = page(self.world.checkpoints[request.training_job_id], request)
        return checkpoint_pb2.ListCheckpointsResponse(checkpoints=listed, next_page_token=token)

    async def ListCurvePoints(self, request: Any, context: Any) -> Any:
        self._job(request.training_job_id)
        found = [one for one in self.world.points[request.training_job_id] if request.metric in ("", one.metric)]
        listed, token = page(found, request)
        return checkpoint_pb2.ListCurvePointsResponse(curve_points=listed, next_page_token=token)


class Feedback(feedback_service_pb2_grpc.FeedbackServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    def _loop(self, loop_id: str) -> Any:
        return find(self.world.loops, "loop_id", loop_id, "loop")

    async def CreateLoop(self, request: Any, context: Any) -> Any:
        find(self.world.model_versions, "model_version_id", request.spec.model_version_id, "model version")
        if request.spec.budget.max_minutes < 0:
            raise InvalidArgument("max_minutes is negative.", "Give 0 or more.", field="spec.budget.max_minutes")
        loop_id = f"loop-{len(self.world.loops)}"
        one = loop_pb2.Loop(loop_id=loop_id, spec=request.spec)
        one.job.CopyFrom(rows.job(loop_id, RUNNING, age=2))
        self.world.loops.insert(0, one)
        return loop_pb2.CreateLoopResponse(loop=one)

    async def GetLoop(self, request: Any, context: Any) -> Any:
        return loop_pb2.GetLoopResponse(loop=self._loop(request.loop_id))

    async def ListLoops(self, request: Any, context: Any) -> Any:
        listed, token = page(self.world.loops, request)
        return loop_pb2.ListLoopsResponse(loops=listed, next_page_token=token)

    async def CancelLoop(self, request: Any, context: Any) -> Any:
        one = self._loop(request.loop_id)
        cancelled(one.job)
        one.stop_reason = loop_pb2.STOP_REASON_CANCELLED
        return loop_pb2.CancelLoopResponse(loop=one)

    async def WatchLoop(self, request: Any, context: Any) -> AsyncIterator[Any]:
        job = self._loop(request.loop_id).job
        async for response in events(job, request.after_sequence, loop_pb2.WatchLoopResponse):
            yield response


@asynccontextmanager
async def serve(world: World) -> AsyncIterator[dict[str, str]]:
    """Serve all five services on one port and yield the settings that name it to a gateway."""
    server = Server(Telemetry())
    for add, servicer, name in _servicers(world):
        server.add_servicer(add, servicer, name)
    port = server.bind("127.0.0.1", 0, reflection=False)
    await server.start()
    try:
        names = ("registry", "test_runner", "evaluator", "trainer", "feedback")
        yield {f"{name}_address": f"127.0.0.1:{port}" for name in names}
    finally:
        await server.drain(0)


def _made(kind: Any, world: World) -> Any:
    """Make a servicer that leaves out what no gateway calls."""
    return kind(world)


def _servicers(world: World) -> Iterator[tuple[Any, Any, str]]:
    yield registry_service_pb2_grpc.add_RegistryServiceServicer_to_server, _made(Registry, world), "registry"
    yield test_runner_service_pb2_grpc.add_TestRunnerServiceServicer_to_server, _made(TestRunner, world), "test_runner"
    yield evaluator_service_pb2_grpc.add_EvaluatorServiceServicer_to_server, _made(Evaluator, world), "evaluator"
    yield trainer_service_pb2_grpc.add_TrainerServiceServicer_to_server, _made(Trainer, world), "trainer"
    yield feedback_service_pb2_grpc.add_FeedbackServiceServicer_to_server, _made(Feedback, world), "feedback"
