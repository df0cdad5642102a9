"""Starts the test runner: `python -m services.test_runner`."""

from __future__ import annotations

from drillyard.test_runner.v1 import test_runner_service_pb2_grpc as rpc

from services.chassis.application import Application
from services.chassis.channel import open_channel
from services.chassis.process import run
from services.chassis.settings import load_settings
from services.test_runner.backends.transformers_worker import TransformersWorkerBackend, WorkerLimits
from services.test_runner.backends.worker_process import Patience
from services.test_runner.clients.registry import RegistryClient
from services.test_runner.jobs.test_run import TestRunJob
from services.test_runner.servicer import SERVICE_NAME, TestRunnerServicer
from services.test_runner.settings import TestRunnerSettings
from services.test_runner.store.sql import MIGRATIONS, SqlRunStore
from services.test_runner.telemetry import TestRunnerTelemetry
from services.test_runner.usecases import TestRunUseCases


def main() -> None:
    """Serve until SIGTERM."""
    settings = load_settings(TestRunnerSettings)

    async def wire(app: Application) -> None:
        channel = open_channel(settings.registry_address)
        app.on_stop(channel.close)
        registry, store = RegistryClient(channel), SqlRunStore(app.database)
        telemetry = TestRunnerTelemetry(app.telemetry)
        backend = TransformersWorkerBackend(
            place=app.artifacts.local_path, telemetry=telemetry, limits=_limits(settings)
        )
        app.on_stop(backend.close)
        job = TestRunJob(
            store=store, registry=registry, backend=backend, telemetry=telemetry, window_size=settings.window_size
        )
        app.jobs.runner.register(job.kind, job, limit=settings.max_running)
        usecases = TestRunUseCases(
            jobs=app.jobs.store, store=store, registry=registry, window_size=settings.window_size
        )
        app.add_servicer(rpc.add_TestRunnerServiceServicer_to_server, TestRunnerServicer(usecases), SERVICE_NAME)

    run("test_runner", settings, wire, migrations=MIGRATIONS)


def _limits(settings: TestRunnerSettings) -> WorkerLimits:
    return WorkerLimits(
        max_workers=settings.max_workers,
        idle_seconds=settings.idle_seconds,
        max_batch=settings.max_batch,
        num_threads=settings.num_threads,
        patience=Patience(settings.load_seconds, settings.stall_seconds),
    )


if __name__ == "__main__":
    main()
