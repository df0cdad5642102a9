"""What training jobs reach the world by."""

from __future__ import annotations

from dataclasses import dataclass

from services.chassis.artifacts import ArtifactStore
from services.trainer.jobs.inputs import JobInputs
from services.trainer.live_attempts import LiveAttempts
from services.trainer.manifest import LocalCheckpoints
from services.trainer.ports import Registry, TrainingBackend, TrainingStore
from services.trainer.telemetry import TrainerTelemetry


@dataclass(frozen=True)
class Adapters:
    """The stores, services and processes of all jobs."""

    store: TrainingStore
    registry: Registry
    backend: TrainingBackend
    checkpoints: LocalCheckpoints
    artifacts: ArtifactStore
    inputs: JobInputs
    live_attempts: LiveAttempts
    telemetry: TrainerTelemetry
