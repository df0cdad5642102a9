"""The five services in one process, wired as they wire themselves; what generates and what trains is made up."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drillyard.evaluator.v1 import evaluation_pb2, evaluator_service_pb2_grpc
from drillyard.feedback.v1 import feedback_service_pb2_grpc, loop_goal_pb2, loop_pb2
from drillyard.registry.v1 import artifact_pb2, model_pb2, registry_service_pb2_grpc
from drillyard.test_runner.v1 import test_run_pb2, test_runner_service_pb2_grpc
from drillyard.trainer.v1 import trainer_service_pb2_grpc, training_job_pb2, training_spec_pb2

from services.chassis.application import assemble
from services.chassis.artifacts import ArtifactStore
from services.chassis.channel import open_channel
from services.chassis.telemetry import TelemetryServer
from services.evaluator import __main__ as evaluator
from services.feedback import __main__ as feedback
from services.registry import __main__ as registry
from services.test_runner import __main__ as test_runner
from services.trainer import __main__ as trainer
from tests.fakes.system.model import MadeUpModel
from tests.fakes.system.training import MadeUpTraining
from tests.unit.registry.model_folders import ROLES, write_model

MODEL, SUITE = "smollm2-135m-instruct", "roo_xml/core@1"
BASE, TUNED = f"{MODEL}@1", f"{MODEL}@2"


@dataclass
class System:
    """Running services, and what they hold: one loop that has ended, and a run, a job and a loop that do not end.

    Attributes:
        addresses: A gateway's settings that name the services.
        loop: The ended loop; it brought `BASE` to `TUNED` in one round.
    """

    folder: Path
    model: MadeUpModel = field(default_factory=MadeUpModel)
    training: MadeUpTraining = field(default_factory=MadeUpTraining)
    addresses: dict[str, str] = field(default_factory=dict)
    metrics_addresses: dict[str, str] = field(default_factory=dict)
    loop: loop_pb2.Loop = field(default_factory=loop_pb2.Loop)
    live_training_job_id: str = ""

    @property
    def names(self) -> dict[str, str]:
        """The ids of the loop and of what it made, by names that commands in tests use for them."""
        before, after = self.loop.rounds
        return {
            "LOOP": self.loop.loop_id,
            "RUN-BEFORE": before.test_run_id,
            "RUN-AFTER": after.test_run_id,
            "EVALUATION-BEFORE": before.evaluation_id,
            "EVALUATION-AFTER": after.evaluation_id,
            "DATASET": before.dataset_version_id,
            "TRAINING-JOB": before.training_job_id,
        }


@asynccontextmanager
async def started(name: str, module: Any, settings: Any, **replaced: object) -> AsyncIterator[tuple[str, str]]:
    """Run a service in this process, wired as it wires itself, and yield its address and that of its series."""
    application = await assemble(name, settings, module.MIGRATIONS)
    series = TelemetryServer(application.telemetry, lambda: True)
    try:
        await module.wire(application, settings, **replaced)
        port = application.server.bind(settings.host, 0, reflection=False)
        await application.start()
        yield f"{settings.host}:{port}", f"{settings.host}:{await series.start(settings.host, 0)}"
    finally:
        await application.stop()
        await series.stop()


@asynccontextmanager
async def serve(folder: Path) -> AsyncIterator[System]:
    """Serve all services over databases in a folder, and fill them by their own RPCs."""
    system, secrets = System(folder), folder / "secrets"
    secrets.mkdir()
    (secrets / "key").write_text("canary")
    async with AsyncExitStack() as ending:
        made_up = {"workers": system.model, "doctor": system.model}
        for name, module, settings_class, replaced in (
            ("registry", registry, registry.RegistrySettings, {}),
            ("test_runner", test_runner, test_runner.TestRunnerSettings, made_up),
            ("evaluator", evaluator, evaluator.EvaluatorSettings, {}),
            ("trainer", trainer, trainer.TrainerSettings, {"backend": system.training}),
            ("feedback", feedback, feedback.FeedbackSettings, {}),
        ):
            values = {"data_dir": folder, "drain_grace_seconds": 0.2, "window_size": 26, "secrets_dir": secrets}
            limits = {} if name in ("registry", "feedback") else {"max_running": 64}
            settings: Any = settings_class(**values, **limits, **system.addresses)
            address, metrics_address = await ending.enter_async_context(started(name, module, settings, **replaced))
            system.addresses[f"{name}_address"], system.metrics_addresses[name] = address, metrics_address
        await _fill(system)
        system.model.holds = system.training.holds = True
        await _begin_what_does_not_end(system)
        yield system


@asynccontextmanager
async def _stubs(system: System) -> AsyncIterator[Any]:
    makers: tuple[Any, ...] = (
        registry_service_pb2_grpc.RegistryServiceStub,
        test_runner_service_pb2_grpc.TestRunnerServiceStub,
        evaluator_service_pb2_grpc.EvaluatorServiceStub,
        trainer_service_pb2_grpc.TrainerServiceStub,
        feedback_service_pb2_grpc.FeedbackServiceStub,
    )
    async with AsyncExitStack() as ending:
        channels = [await ending.enter_async_context(open_channel(each)) for each in system.addresses.values()]
        yield [make(channel) for make, channel in zip(makers, channels, strict=True)]


async def _fill(system: System) -> None:
    files = ArtifactStore((system.folder / "made_up").as_uri())
    model = await files.put_tree(write_model(system.folder / "model", template=ROLES, max_position_embeddings=8192))
    artifact = artifact_pb2.Artifact(uri=model.uri, digest=model.digest, size_bytes=model.size_bytes)
    async with _stubs(system) as (models, _, _, _, loops):
        kind = model_pb2.MODEL_VERSION_KIND_BASE
        await models.CreateModelVersion(
            model_pb2.CreateModelVersionRequest(model_id=MODEL, kind=kind, artifact=artifact)
        )
        loop_id = (await loops.CreateLoop(_loop(BASE))).loop.loop_id
        async for _ in loops.WatchLoop(loop_pb2.WatchLoopRequest(loop_id=loop_id)):
            pass
        system.loop = (await loops.GetLoop(loop_pb2.GetLoopRequest(loop_id=loop_id))).loop
        assert len(system.loop.rounds) == 2, system.loop


async def _begin_what_does_not_end(system: System) -> None:
    async with _stubs(system) as (_, runs, evaluations, jobs, loops):
        spec = test_run_pb2.TestRunSpec(model_version_id=TUNED, test_suite_version_id=SUITE)
        run = (await runs.CreateTestRun(test_run_pb2.CreateTestRunRequest(spec=spec))).test_run
        await evaluations.CreateEvaluation(evaluation_pb2.CreateEvaluationRequest(test_run_id=run.test_run_id))
        dataset_id = system.loop.rounds[0].dataset_version_id
        training = training_spec_pb2.TrainingJobSpec(model_version_id=TUNED, dataset_version_id=dataset_id)
        request = training_job_pb2.CreateTrainingJobRequest(spec=training)
        system.live_training_job_id = (await jobs.CreateTrainingJob(request)).training_job.training_job_id
        await loops.CreateLoop(_loop(TUNED))


def _loop(model_version_id: str) -> loop_pb2.CreateLoopRequest:
    goals = [loop_goal_pb2.Goal(metric="conforming_rate", minimum=0.9, confidence=0.0)]
    spec = loop_pb2.LoopSpec(
        model_version_id=model_version_id, test_suite_version_id=SUITE, goals=goals, num_examples=26, seed=1
    )
    spec.budget.max_rounds = 1
    return loop_pb2.CreateLoopRequest(spec=spec)
