"""Starts the test runner: `python -m services.test_runner`."""

from collections.abc import AsyncGenerator, Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from drillyard.test_runner.v1 import test_runner_service_pb2_grpc as rpc

from services.chassis.application import Application, run
from services.chassis.machine.memory import share_of_memory_bytes
from services.chassis.machine.parent import ServiceToken
from services.chassis.machine.secrets import Secrets
from services.chassis.settings import load_settings
from services.chassis.waiting import patiently
from services.test_runner.backends.doctor_process import DoctorProcess
from services.test_runner.backends.fair_queue import FairQueue, QueueLimits
from services.test_runner.backends.llama_server.backend import LlamaServerBackend
from services.test_runner.backends.model_pool import WorkerLimits
from services.test_runner.backends.openai_endpoint.backend import NUM_PLACES, OpenAiEndpointBackend
from services.test_runner.backends.openai_endpoint.policy import OperatorPolicy
from services.test_runner.backends.served_template import ServedTemplateProbe
from services.test_runner.backends.transformers_worker import TransformersWorkerBackend
from services.test_runner.backends.worker_process import WorkerTimeouts
from services.test_runner.clients.registry import RegistryClient
from services.test_runner.domain.scoring import AnswerRow, AnswerScore
from services.test_runner.domain.test_run import Form
from services.test_runner.jobs.invitations import Sharing
from services.test_runner.jobs.run_share import RunShareJob
from services.test_runner.jobs.test_run import TestRunJob
from services.test_runner.ports.diagnosis import Doctor
from services.test_runner.ports.generation import (
    AnswerScorer,
    GenerationBackend,
    GenerationEvent,
    Prompt,
    PromptRenderer,
    Rendered,
    Workload,
)
from services.test_runner.ports.registry import ResolvedModel
from services.test_runner.servicer import SERVICE_NAME, TestRunnerServicer
from services.test_runner.settings import TestRunnerSettings
from services.test_runner.store.sql import MIGRATIONS, SqlRunStore
from services.test_runner.telemetry import TestRunnerTelemetry
from services.test_runner.usecases.comparison import ComparisonUseCases
from services.test_runner.usecases.deployments import DeploymentChecks
from services.test_runner.usecases.diagnosis import DiagnosisUseCases
from services.test_runner.usecases.generation import GenerationUseCases
from services.test_runner.usecases.rendering import RenderingUseCases
from services.test_runner.usecases.scoring import ScoringUseCases
from services.test_runner.usecases.test_run import TestRunUseCases
from services.test_runner.usecases.transcript import TranscriptUseCases


class Workers(GenerationBackend, PromptRenderer, AnswerScorer, Protocol):
    """Answers by the registry's weights."""

    async def close(self) -> None:
        """End all that was started."""


@dataclass(frozen=True)
class _Backends:
    workers: Workers
    servers: Workers
    endpoints: GenerationBackend

    def generate(self, workload: Workload) -> AsyncGenerator[GenerationEvent]:
        """Let the endpoint answer that the workload names, or else what loads the version's form."""
        return (self.endpoints if workload.endpoint else self._of(workload.form)).generate(workload)

    async def render(self, model: ResolvedModel, prompt: Prompt) -> Rendered:
        """Return what the model reads."""
        return await self._of(model.form).render(model, prompt)

    def score(self, model: ResolvedModel, rows: Sequence[AnswerRow], max_tokens: int) -> AsyncGenerator[AnswerScore]:
        """Let the version's weights score answers."""
        return self._of(model.form).score(model, rows, max_tokens)

    def _of(self, form: Form) -> Workers:
        return self.workers if form is Form.FOLDER else self.servers


async def wire(
    app: Application, settings: TestRunnerSettings, *, workers: Workers | None = None, doctor: Doctor | None = None
) -> None:
    """Choose the adapters and connect them; `workers` and `doctor` take the place of processes."""
    registry, store = RegistryClient(app.open_channel(settings.registry_address)), SqlRunStore(app.database)
    telemetry, policy = TestRunnerTelemetry(app.telemetry), _policy(settings, app.token)
    limits, jobs, served = _limits(settings), app.jobs.store, ServedTemplateProbe(policy)

    def place(uri: str) -> Awaitable[Path]:
        return patiently(lambda: app.artifacts.local_path(uri), "the artifact store")

    workers = workers or TransformersWorkerBackend(place=place, telemetry=telemetry, limits=limits)
    servers = LlamaServerBackend(place=place, telemetry=telemetry, limits=limits, command=settings.llama_server)
    endpoints = OpenAiEndpointBackend(
        policy,
        max_tries=settings.endpoint_tries,
        on_try=telemetry.endpoint_tried,
        queue=FairQueue(NUM_PLACES, _queue_limits(settings)),
    )
    for part in (workers, servers, endpoints):
        app.on_stop(part.close)
    backend = _Backends(workers, servers, endpoints)
    _register_jobs(app, settings, store=store, registry=registry, backend=backend, telemetry=telemetry)
    servicer = TestRunnerServicer(
        runs=TestRunUseCases(
            jobs=jobs, store=store, registry=registry, policy=policy, window_size=settings.window_size
        ),
        transcripts=TranscriptUseCases(jobs=jobs, store=store),
        comparisons=ComparisonUseCases(jobs=jobs, store=store),
        generation=_generation(app, registry, backend, policy),
        rendering=RenderingUseCases(registry=registry, renderer=backend, served=served, policy=policy),
        scoring=ScoringUseCases(registry=registry, scorer=backend),
        diagnoses=DiagnosisUseCases(
            registry=registry, policy=policy, doctor=doctor or _doctor(app), served=served, forms=servers
        ),
    )
    app.add_servicer(rpc.add_TestRunnerServiceServicer_to_server, servicer, SERVICE_NAME)


def _register_jobs(app: Application, settings: TestRunnerSettings, **adapters: Any) -> None:
    # With SQLite there is no other process to share runs with.
    sharing = None if app.database.is_sqlite else Sharing(app.jobs.store, settings.share_runs)
    job = TestRunJob(**adapters, window_size=settings.window_size, sharing=sharing)
    app.jobs.runner.register(job.kind, job, limit=settings.max_running)
    if sharing is not None and sharing.kinds != "none":
        share = RunShareJob(**adapters, jobs=sharing.jobs)
        app.jobs.runner.register(share.kind, share, part_of=job.kind)


def _doctor(app: Application) -> DoctorProcess:
    return DoctorProcess(place=app.artifacts.local_path)


def _generation(
    app: Application, registry: RegistryClient, backend: _Backends, policy: OperatorPolicy
) -> GenerationUseCases:
    note_tokens = app.usage.note_tokens
    generation = GenerationUseCases(registry=registry, backend=backend, policy=policy, note_tokens=note_tokens)
    app.keep_doing("write_usage", app.usage.keep_writing)
    app.on_stop(app.usage.write)
    app.keep_doing("check_deployments", DeploymentChecks(registry, generation).run)
    return generation


def _policy(settings: TestRunnerSettings, token: ServiceToken | None) -> OperatorPolicy:
    keys = Secrets("TEST_RUNNER_", settings.secrets_dir, token=token)
    policy = OperatorPolicy(settings.endpoint_hosts, keys, settings.endpoint_key_hosts)
    if settings.deployment_namespace:
        policy.trust_deployments(settings.deployment_namespace)
    return policy


def _limits(settings: TestRunnerSettings) -> WorkerLimits:
    return WorkerLimits(
        max_workers=settings.max_workers,
        idle_seconds=settings.idle_seconds,
        max_batch=settings.max_batch,
        num_threads=settings.num_threads,
        device=settings.device,
        memory_bytes=settings.worker_memory_bytes or share_of_memory_bytes(settings.max_workers),
        timeouts=WorkerTimeouts(settings.load_seconds, settings.stall_seconds),
        queue=_queue_limits(settings),
    )


def _queue_limits(settings: TestRunnerSettings) -> QueueLimits:
    return QueueLimits(
        num_calls=settings.max_waiting,
        num_calls_of_caller=settings.max_waiting_of_caller,
        num_bytes=settings.max_waiting_bytes,
        seconds=settings.max_waiting_seconds,
    )


def main() -> None:
    """Serve until SIGTERM."""
    settings = load_settings(TestRunnerSettings)
    run("test_runner", settings, lambda app: wire(app, settings), migrations=MIGRATIONS)


if __name__ == "__main__":
    main()
