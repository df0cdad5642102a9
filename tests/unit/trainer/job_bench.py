"""The job function between fakes: a scripted backend, checkpoints and registry by hand, memory stores."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.chassis.artifacts import ArtifactStore
from services.chassis.database import Database
from services.chassis.errors import NotFound, ServiceError, Unavailable
from services.chassis.jobs import Job, JobRunner, JobState, SqlJobStore, watch
from services.chassis.telemetry import Telemetry
from services.chassis.wire import from_document
from services.trainer.domain.attempt import AttemptOutcome, AttemptReport, Checkpoint, CurvePoint
from services.trainer.domain.inputs import Artifact, TrainingInputs
from services.trainer.domain.plan import AttemptPlan
from services.trainer.domain.spec import KIND, TrainedWeights, TrainingJobSpec
from services.trainer.jobs.adapters import Adapters
from services.trainer.jobs.inputs import JobInputs
from services.trainer.jobs.stored_checkpoints import StoredCheckpoints
from services.trainer.jobs.training_job import TrainingJobWork, TrainingLimits
from services.trainer.live_attempts import LiveAttempts
from services.trainer.manifest import ADAPTER, MODEL, OPTIMIZER, POSITION, LocalCheckpoints, place_for, write_manifest
from services.trainer.store.sql import MIGRATIONS, SqlTrainingStore
from services.trainer.telemetry import TrainerTelemetry
from services.trainer.usecases import TrainingUseCases
from tests.fakes.databases import new_database

SPEC = from_document(TrainingJobSpec, {"model_version_id": "tiny", "dataset_version_id": "drills"})


@dataclass
class ScriptedBackend:
    """Runs one entry of the script per attempt: what happens, and the driver's exit code; no code means it hangs."""

    script: list[tuple[Callable[[AttemptPlan], object], int | None]] = field(default_factory=list)
    plans: list[AttemptPlan] = field(default_factory=list)
    cleared: list[str] = field(default_factory=list)
    outages: list[ServiceError] = field(default_factory=list)
    running: int = 0
    fetches_artifacts: bool = False
    waits_for: str = ""

    def wait_reason(self, training_job_id: str) -> str:
        return self.waits_for

    async def prepare(self, plan: AttemptPlan) -> AttemptPlan:
        if self.outages:
            raise self.outages.pop(0)
        return plan

    async def run(self, plan: AttemptPlan) -> int:
        self.plans.append(plan)
        self.running += 1
        try:
            happens, exit_code = self.script.pop(0)
            result = happens(plan)
            if asyncio.iscoroutine(result):
                await result
            if exit_code is None:
                await asyncio.Event().wait()
            return exit_code or 0
        finally:
            self.running -= 1

    async def clear(self, training_job_id: str) -> int:
        self.cleared.append(training_job_id)
        return 0

    async def remove(self, training_job_id: str) -> None:
        self.cleared.append(training_job_id)


@dataclass
class OneRegistry:
    """Knows one model and one dataset; away for the first `away` registrations, and for each of `outages` once."""

    inputs: TrainingInputs
    away: int = 0
    outages: list[ServiceError] = field(default_factory=list)
    resolved: int = 0
    registered: dict[str, Artifact] = field(default_factory=dict)
    kinds: list[str] = field(default_factory=list)

    async def resolve(self, spec: TrainingJobSpec) -> TrainingInputs:
        if self.outages:
            raise self.outages.pop(0)
        self.resolved += 1
        if spec.model_version_id != "tiny":
            raise NotFound(f"There is no model version {spec.model_version_id}.")
        return self.inputs

    async def list_suites(self) -> tuple[()]:
        return ()

    async def register_weights(
        self, request_id: str, inputs: TrainingInputs, weights: Artifact, *, is_adapter: bool, produced_by: str
    ) -> str:
        if self.away > 0:
            self.away -= 1
            raise Unavailable("The registry is away.")
        if self.outages:
            raise self.outages.pop(0)
        self.registered.setdefault(request_id, weights)
        self.kinds.append("adapter" if is_adapter else "trained")
        return f"tiny@{1 + len(self.registered)}"


class Bench:
    """Everything of the trainer but processes and wire."""

    def __init__(
        self,
        folder: Path,
        limits: TrainingLimits | None = None,
        *,
        artifacts_url: str = "",
        database: Database | None = None,
    ) -> None:
        """Set up a trainer with a disk of its own; with another's `database`, it is another machine of that one."""
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.database = database = database or new_database(MIGRATIONS)
        self.jobs, self.store = SqlJobStore(database), SqlTrainingStore(database)
        self.backend = ScriptedBackend()
        self.registry = OneRegistry(self._inputs())
        self.live_attempts = LiveAttempts()
        telemetry = TrainerTelemetry(Telemetry())
        self.checkpoints = LocalCheckpoints(folder / "checkpoints")
        artifacts = ArtifactStore(
            artifacts_url or (folder / "artifacts").as_uri(),
            sources=(folder.parent.as_uri() + "/",),
            cache_dir=folder / "cache",
        )
        stored = StoredCheckpoints(self.store, artifacts, self.checkpoints)
        inputs = JobInputs(self.jobs, self.store, self.registry, stored)
        self.to = to = Adapters(
            store=self.store,
            registry=self.registry,
            backend=self.backend,
            checkpoints=self.checkpoints,
            artifacts=artifacts,
            inputs=inputs,
            live_attempts=self.live_attempts,
            telemetry=telemetry,
        )
        self.work = TrainingJobWork(to, limits or TrainingLimits(release_seconds=0.1), lambda: "127.0.0.1:1")
        self.usecases = TrainingUseCases(
            jobs=self.jobs,
            store=self.store,
            inputs=inputs,
            live_attempts=self.live_attempts,
            telemetry=telemetry,
            forget=self.work.forget,
        )
        self._num_owners = 0

    def _inputs(self) -> TrainingInputs:
        store = ArtifactStore((self.folder / "registry").as_uri())
        (self.folder / "base").mkdir()
        (self.folder / "base" / "config.json").write_text("{}")
        base, rows = asyncio.run(_put(store, self.folder / "base"))
        return TrainingInputs("tiny@1", "tiny@1", "tiny", base, None, "drills@1", rows)

    async def finish(self, job_id: str, *states: JobState) -> Job:
        """Work on all jobs, as a new process would, until this one has ended or is in one of `states`."""
        self._num_owners += 1
        runner = JobRunner(self.jobs, owner=f"owner {self._num_owners}", is_only_owner=True)
        runner.register(KIND, self.work.run, cleanup=self.work.clear)
        await runner.start()
        try:
            async with aclosing(watch(self.jobs, job_id)) as events:
                async for event in events:
                    if event.payload.get("state") in states:
                        break
        finally:
            await runner.stop(5)
        return await self.jobs.get(job_id)

    async def report(self, plan: AttemptPlan, step: int, outcome: AttemptOutcome | None = None, **more: Any) -> bool:
        return await self.usecases.report(
            AttemptReport(
                plan.training_job_id,
                plan.attempt,
                plan.epoch,
                num_steps_done=step,
                num_steps_total=30,
                phase="train",
                curve_points=(CurvePoint("loss", step, 1.0 / step, plan.attempt),) if step else (),
                outcome=outcome,
                reason=more.get("reason", ""),
                is_permanent=bool(more.get("is_permanent")),
                notices=more.get("notices", ()),
            )
        )

    async def save(self, plan: AttemptPlan, step: int) -> Checkpoint:
        folder = place_for(Path(plan.checkpoint_folder), step, plan.attempt)
        weights = folder / (ADAPTER if plan.spec.trained_weights is TrainedWeights.LORA else MODEL)
        weights.mkdir(parents=True)
        (weights / f"{weights.name}_model.safetensors").write_text(f"{step} by {plan.attempt}")
        (folder / OPTIMIZER).write_text(f"moments of {step} by {plan.attempt}")
        (folder / POSITION).write_text(json.dumps({"step": step, "dtype": "float32"}))
        saved = write_manifest(folder, step=step, attempt=plan.attempt, config_digest=plan.config_digest)
        report = AttemptReport(plan.training_job_id, plan.attempt, plan.epoch, checkpoints=(saved,))
        await self.usecases.report(report)
        return saved

    async def train_to(self, plan: AttemptPlan, *steps: int, ends: bool = True) -> None:
        """Report and save each step; at the end, tell that the attempt succeeded."""
        for step in steps:
            await self.report(plan, step)
            await self.save(plan, step)
        if ends:
            await self.report(plan, steps[-1], AttemptOutcome.SUCCEEDED)

    async def train_until_stopped(self, plan: AttemptPlan, *steps: int) -> None:
        """Report and save each step, go on with the last one until asked to stop, and end so."""
        await self.train_to(plan, *steps, ends=False)
        while not await self.report(plan, steps[-1]):
            await asyncio.sleep(0.01)
        await self.report(plan, steps[-1], AttemptOutcome.STOPPED)

    async def events(self, job_id: str, kind: str) -> list[dict[str, object]]:
        return [event.payload for event in await self.jobs.events(job_id, limit=1000) if event.type == kind]


async def _put(store: ArtifactStore, folder: Path) -> tuple[Artifact, Artifact]:
    base, rows = await store.put_tree(folder), await store.put_bytes(b"{}\n")
    return Artifact(base.uri, base.digest, base.size_bytes), Artifact(rows.uri, rows.digest, rows.size_bytes)
