"""The five services over one world of rows; what they create is running at once and never ends by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from drillyard.evaluator.v1 import comparison_pb2, evaluation_pb2, evaluator_service_pb2_grpc, verdict_pb2
from drillyard.feedback.v1 import feedback_service_pb2_grpc, loop_pb2
from drillyard.job.v1 import job_pb2
from drillyard.registry.v1 import dataset_pb2, import_pb2, model_pb2, registry_service_pb2_grpc, test_suite_pb2
from drillyard.test_runner.v1 import test_run_pb2, test_runner_service_pb2_grpc, transcript_pb2
from drillyard.trainer.v1 import checkpoint_pb2, trainer_service_pb2_grpc, training_job_pb2

from services.chassis.errors import InvalidArgument, NotFound, Unimplemented
from services.chassis.server import Server
from services.chassis.telemetry import Telemetry
from tests.fakes.system import rows
from tests.fakes.system.rows import RUNNING, World

FINAL = (6, 7, 8)


def find(listed: Sequence[Any], field: str, wanted: str, noun: str) -> Any:
    for one in listed:
        if getattr(one, field) == wanted or getattr(one, field).rpartition("@")[0] == wanted:
            return one
    raise NotFound(f"There is no {noun} {wanted!r}.", f"List the {noun}s to see what is there.")


def page(listed: Sequence[Any], request: Any) -> tuple[list[Any], str]:
    start, size = int(request.page_token or 0), request.page_size or 50
    return list(listed[start : start + size]), str(start + size) if start + size < len(listed) else ""


def cancelled(job: job_pb2.Job) -> None:
    if job.state not in FINAL:
        job.state = job_pb2.JOB_STATE_CANCELLED
        job.end_time.GetCurrentTime()


async def events(job: job_pb2.Job, after: int, respond: Callable[..., Any]) -> AsyncIterator[Any]:
    told: list[tuple[str, dict[str, Any]]] = [
        ("state", {"state": "RUNNING"}),
        ("progress", {"phase": job.progress.phase, "num_done": job.progress.num_done}),
    ]
    for sequence, (kind, payload) in enumerate(told, start=1):
        if sequence > after:
            yield respond(event=event(job, sequence, kind, payload))
    while job.state not in FINAL:
        await asyncio.sleep(0.05)
    yield respond(event=event(job, len(told) + 1, "state", {"state": job_pb2.JobState.Name(job.state)}))


def event(job: job_pb2.Job, sequence: int, kind: str, payload: dict[str, Any]) -> job_pb2.JobEvent:
    made = job_pb2.JobEvent(job_id=job.job_id, sequence=sequence, type=kind)
    made.payload.update(payload)
    made.event_time.GetCurrentTime()
    return made


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
        )
        self.world.suites.insert(0, one)
        return test_suite_pb2.CreateTestSuiteVersionResponse(test_suite_version=one)

    async def ListTestCases(self, request: Any, context: Any) -> Any:
        find(self.world.suites, "test_suite_version_id", request.test_suite_version_id, "test suite version")
        listed, token = page(self.world.cases, request)
        return test_suite_pb2.ListTestCasesResponse(test_cases=listed, next_page_token=token)


class TestRunner(test_runner_service_pb2_grpc.TestRunnerServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    def _run(self, run_id: str) -> Any:
        return find(self.world.runs, "test_run_id", run_id, "test run")

    async def CreateTestRun(self, request: Any, context: Any) -> Any:
        find(self.world.model_versions, "model_version_id", request.spec.model_version_id, "model version")
        find(self.world.suites, "test_suite_version_id", request.spec.test_suite_version_id, "test suite version")
        if request.spec.num_repeats < 0:
            raise InvalidArgument("num_repeats is -1.", "Give 1 or more.", field="spec.num_repeats")
        run_id = f"test_run-{len(self.world.runs)}"
        one = test_run_pb2.TestRun(test_run_id=run_id, spec=request.spec, num_transcripts_total=130)
        one.job.CopyFrom(rows.job(run_id, RUNNING, phase="load_model", total=130, unit="cases", age=2))
        self.world.runs.insert(0, one)
        self.world.transcripts[run_id] = []
        return test_run_pb2.CreateTestRunResponse(test_run=one)

    async def GetTestRun(self, request: Any, context: Any) -> Any:
        return test_run_pb2.GetTestRunResponse(test_run=self._run(request.test_run_id))

    async def ListTestRuns(self, request: Any, context: Any) -> Any:
        listed, token = page(self.world.runs, request)
        return test_run_pb2.ListTestRunsResponse(test_runs=listed, next_page_token=token)

    async def CancelTestRun(self, request: Any, context: Any) -> Any:
        one = self._run(request.test_run_id)
        cancelled(one.job)
        return test_run_pb2.CancelTestRunResponse(test_run=one)

    async def WatchTestRun(self, request: Any, context: Any) -> AsyncIterator[Any]:
        job = self._run(request.test_run_id).job
        async for response in events(job, request.after_sequence, test_run_pb2.WatchTestRunResponse):
            yield response

    async def GetTranscript(self, request: Any, context: Any) -> Any:
        listed = [one for found in self.world.transcripts.values() for one in found]
        return transcript_pb2.GetTranscriptResponse(
            transcript=find(listed, "transcript_id", request.transcript_id, "transcript")
        )

    async def ListTranscripts(self, request: Any, context: Any) -> Any:
        self._run(request.test_run_id)
        listed, token = page(self.world.transcripts[request.test_run_id], request)
        return transcript_pb2.ListTranscriptsResponse(transcripts=listed, next_page_token=token)


class Evaluator(evaluator_service_pb2_grpc.EvaluatorServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    def _evaluation(self, evaluation_id: str) -> Any:
        return find(self.world.evaluations, "evaluation_id", evaluation_id, "evaluation")

    async def CreateEvaluation(self, request: Any, context: Any) -> Any:
        run = find(self.world.runs, "test_run_id", request.test_run_id, "test run")
        evaluation_id = f"evaluation-{len(self.world.evaluations)}"
        one = evaluation_pb2.Evaluation(
            evaluation_id=evaluation_id,
            test_run_id=run.test_run_id,
            test_suite_version_id=run.spec.test_suite_version_id,
        )
        one.job.CopyFrom(rows.job(evaluation_id, RUNNING, phase="judge", age=2))
        self.world.evaluations.insert(0, one)
        self.world.verdicts[evaluation_id] = []
        return evaluation_pb2.CreateEvaluationResponse(evaluation=one)

    async def GetEvaluation(self, request: Any, context: Any) -> Any:
        return evaluation_pb2.GetEvaluationResponse(evaluation=self._evaluation(request.evaluation_id))

    async def ListEvaluations(self, request: Any, context: Any) -> Any:
        wanted = [one for one in self.world.evaluations if request.test_run_id in ("", one.test_run_id)]
        listed, token = page(wanted, request)
        return evaluation_pb2.ListEvaluationsResponse(evaluations=listed, next_page_token=token)

    async def CancelEvaluation(self, request: Any, context: Any) -> Any:
        one = self._evaluation(request.evaluation_id)
        cancelled(one.job)
        return evaluation_pb2.CancelEvaluationResponse(evaluation=one)

    async def WatchEvaluation(self, request: Any, context: Any) -> AsyncIterator[Any]:
        job = self._evaluation(request.evaluation_id).job
        async for response in events(job, request.after_sequence, evaluation_pb2.WatchEvaluationResponse):
            yield response

    async def ListVerdicts(self, request: Any, context: Any) -> Any:
        self._evaluation(request.evaluation_id)
        wanted = [
            one
            for one in self.world.verdicts[request.evaluation_id]
            if request.tool in ("", one.tool) and request.cause in ("", one.cause or "none")
        ]
        listed, token = page(wanted, request)
        return verdict_pb2.ListVerdictsResponse(verdicts=listed, next_page_token=token)

    async def CompareEvaluations(self, request: Any, context: Any) -> Any:
        ids = (request.before_evaluation_id, request.after_evaluation_id)
        before, after = (self._evaluation(one) for one in ids)
        held = [{one.case_id for one in self.world.verdicts[one_id] if one.conforming} for one_id in ids]
        return comparison_pb2.CompareEvaluationsResponse(
            comparison=comparison_pb2.Comparison(
                before_evaluation_id=ids[0],
                after_evaluation_id=ids[1],
                before=before.metrics.overall,
                after=after.metrics.overall,
                gained_case_ids=sorted(held[1] - held[0]),
                lost_case_ids=sorted(held[0] - held[1]),
                sentence=f"{len(held[1] - held[0])} cases gained, {len(held[0] - held[1])} lost.",
            )
        )

    async def Judge(self, request: Any, context: Any) -> Any:
        return verdict_pb2.JudgeResponse(verdict=verdict_pb2.Verdict(cause="no_call", sentence="There is no call."))


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
