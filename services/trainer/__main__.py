"""Starts the trainer: `python -m services.trainer`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from drillyard.trainer.v1 import trainer_service_pb2_grpc as rpc

from services.chassis.application import Application, run
from services.chassis.machine.kubernetes.client import KubernetesClient
from services.chassis.machine.memory import share_of_memory_bytes
from services.chassis.settings import load_settings
from services.trainer.backends.preflight_process import PreflightProcess
from services.trainer.backends.ray_cluster import RayClusterBackend
from services.trainer.backends.ray_kubernetes import RayKubernetesBackend
from services.trainer.backends.ray_local import RayLocalBackend
from services.trainer.clients.registry import RegistryClient
from services.trainer.domain.spec import KIND
from services.trainer.jobs.adapters import Adapters
from services.trainer.jobs.garbage import TrainingGarbage
from services.trainer.jobs.inputs import JobInputs
from services.trainer.jobs.preflight import Preflight
from services.trainer.jobs.stored_checkpoints import StoredCheckpoints
from services.trainer.jobs.training_job import TrainingJobWork, TrainingLimits
from services.trainer.live_attempts import LiveAttempts
from services.trainer.manifest import LocalCheckpoints
from services.trainer.ports import TrainingBackend
from services.trainer.servicer import SERVICE_NAME, TrainerServicer
from services.trainer.settings import TrainerSettings
from services.trainer.store.sql import MIGRATIONS, SqlTrainingStore
from services.trainer.telemetry import TrainerTelemetry
from services.trainer.usecases import TrainingUseCases

# Training processes run on this machine; an address that means "all interfaces" is none to call.
_ANY = ("0.0.0.0", "::", "[::]")


async def wire(app: Application, settings: TrainerSettings, *, backend: TrainingBackend | None = None) -> None:
    """Choose the adapters and connect them; `backend` takes the place of Ray."""
    folder = settings.service_dir("trainer")
    store, registry = SqlTrainingStore(app.database), RegistryClient(app.open_channel(settings.registry_address))
    folders = LocalCheckpoints(folder / "checkpoints")
    checkpoints = StoredCheckpoints(store, app.artifacts, folders)
    to = Adapters(
        store=store,
        registry=registry,
        backend=backend or _backend(app, folder, settings),
        checkpoints=folders,
        artifacts=app.artifacts,
        inputs=JobInputs(app.jobs.store, store, registry, checkpoints),
        live_attempts=LiveAttempts(),
        telemetry=TrainerTelemetry(app.telemetry),
    )
    app.on_drain(to.live_attempts.drain)
    app.telemetry.on_scrape(partial(to.telemetry.show, to.live_attempts))
    _add_garbage(app, settings, to, folder)
    work = TrainingJobWork(to, _limits(settings), lambda: _report_address(app, settings))
    app.jobs.runner.register(KIND, work.run, limit=settings.max_running, cleanup=work.clear)
    usecases = TrainingUseCases(
        jobs=app.jobs.store,
        store=to.store,
        inputs=to.inputs,
        live_attempts=to.live_attempts,
        telemetry=to.telemetry,
        forget=work.forget,
    )
    preflight = Preflight(to, app.jobs.store, _rows_reader(app), folder=folder, dtype=settings.dtype)
    app.add_servicer(rpc.add_TrainerServiceServicer_to_server, TrainerServicer(usecases, preflight), SERVICE_NAME)


def _add_garbage(app: Application, settings: TrainerSettings, to: Adapters, folder: Path) -> None:
    old = TrainingGarbage(
        to,
        app.jobs.store,
        folder / "attempts",
        folder / "checkpoints",
        checkpoint_days=settings.checkpoint_days,
        attempt_days=settings.attempt_days,
    )
    handed_over = partial(app.artifact_garbage.handed_over, "artifact", settings.handover_hours, old.held)
    app.garbage.add(old.attempts, old.checkpoints, handed_over)


def _backend(app: Application, folder: Path, settings: TrainerSettings) -> TrainingBackend:
    attempts = folder / "attempts"
    backend: RayLocalBackend | RayKubernetesBackend
    if settings.kubernetes:
        client = KubernetesClient(settings.kubernetes.namespace, settings.kubernetes_config)
        artifacts_url = settings.resolved_artifacts_url("trainer")
        backend = RayKubernetesBackend(attempts, client, settings.kubernetes, artifacts_url=artifacts_url)
    elif settings.ray_address:
        backend = RayClusterBackend(
            attempts,
            settings.token_file,
            address=settings.ray_address,
            ray_token_file=settings.ray_token_file,
            warm_seconds=settings.warm_seconds,
        )
    else:
        max_memory_bytes = settings.attempt_memory_bytes or share_of_memory_bytes(settings.max_running)
        backend = RayLocalBackend(
            attempts, settings.token_file, max_memory_bytes=max_memory_bytes, warm_seconds=settings.warm_seconds
        )
    app.on_stop(backend.close)
    return backend


def _rows_reader(app: Application) -> PreflightProcess:
    process = PreflightProcess()
    app.on_stop(process.close)
    return process


def _limits(settings: TrainerSettings) -> TrainingLimits:
    return TrainingLimits(
        max_attempts=settings.max_attempts,
        num_threads=settings.num_threads,
        dtype=settings.dtype,
        device=settings.device,
        stall_seconds=settings.stall_seconds,
        report_name=settings.report_name,
        tls_folder=str(settings.tls_dir.absolute()) if settings.tls_dir else "",
    )


def _report_address(app: Application, settings: TrainerSettings) -> str:
    if settings.report_address:
        return settings.report_address
    host = "127.0.0.1" if app.settings.host in _ANY else app.settings.host
    return f"{host}:{app.server.port}"


def main() -> None:
    """Serve until SIGTERM."""
    settings = load_settings(TrainerSettings)
    run("trainer", settings, lambda app: wire(app, settings), migrations=MIGRATIONS)


if __name__ == "__main__":
    main()
