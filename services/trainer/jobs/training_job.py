"""Does a training job: attempt after attempt, each from the newest checkpoint that verifies, then one registration."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from services.chassis.artifacts import ArtifactStore
from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import Job, JobContext, JobPaused, Json
from services.chassis.waiting import patiently
from services.chassis.wire import from_document
from services.lm.process import usable_cores
from services.trainer.domain.attempt import Attempt, AttemptOutcome, Checkpoint, num_failures
from services.trainer.domain.inputs import Artifact, TrainingInputs
from services.trainer.domain.plan import AttemptPlan
from services.trainer.domain.spec import TrainingJobSpec
from services.trainer.jobs.kept_checkpoints import DISK, STORE, KeptCheckpoints, kept_checkpoints, path_of
from services.trainer.live_attempts import AttemptEnd, LiveAttempt, LiveAttempts, end_of
from services.trainer.ports import CheckpointFolders, Registry, TrainingBackend, TrainingStore
from services.trainer.telemetry import TrainerTelemetry

ADAPTER = "adapter"
_REGISTRY = "the registry"
_SYSTEM = "the operating system"
_TICK_SECONDS = 0.5
_HEARTBEAT_SECONDS = 2.5
_RELEASE_SECONDS = 5.0


@dataclass(frozen=True)
class TrainingLimits:
    """Settings of the service that bound its jobs."""

    max_attempts: int = 3
    num_threads: int = 0
    dtype: str = "auto"
    device: str = "auto"
    stall_seconds: float = 900.0


@dataclass(frozen=True)
class Adapters:
    """What the job reaches the world by."""

    store: TrainingStore
    registry: Registry
    backend: TrainingBackend
    checkpoints: CheckpointFolders
    artifacts: ArtifactStore
    live_attempts: LiveAttempts
    telemetry: TrainerTelemetry


class TrainingJobWork:
    """The function of the job kind `training_job`."""

    def __init__(self, adapters: Adapters, limits: TrainingLimits, report_address: Callable[[], str]) -> None:
        self._to = adapters
        self._limits = limits
        self._report_address = report_address

    async def run(self, context: JobContext) -> Json:
        """Train to the end, going on from what earlier holds of the job left, and register the result.

        Raises:
            FailedPrecondition: Attempts failed as often as is allowed, or one in a way that no other would mend.
            JobPaused: A pause was asked for, and what is done is saved.
        """
        job_id = context.job.job_id
        spec = from_document(TrainingJobSpec, context.job.spec)
        inputs = (await self._to.store.get_inputs([job_id])).get(job_id)
        if inputs is None:
            resolved = await patiently(lambda: self._to.registry.resolve(spec), _REGISTRY)
            inputs = await self._to.store.add_inputs(job_id, resolved)
        await self.clear(context)
        trained = await self._trained(context, spec, inputs)
        await context.progress(phase="register", message="Registering the adapter.")
        folder = path_of(trained.uri) / ADAPTER
        adapter = await patiently(lambda: self._to.artifacts.put_tree(folder), STORE)
        weights = Artifact(adapter.uri, adapter.digest, adapter.size_bytes)
        version = await patiently(
            lambda: self._to.registry.register_adapter(
                f"{job_id}/result", inputs, weights, produced_by=f"training_job:{job_id}"
            ),
            _REGISTRY,
        )
        return {"model_version_id": version, "step": trained.step}

    async def clear(self, context: JobContext) -> Json:
        """End what earlier attempts left running."""
        if num_ended := await patiently(lambda: self._to.backend.clear(context.job.job_id), _SYSTEM):
            text = f"{num_ended} processes of an earlier attempt were ended."
            await context.event("message", {"text": text})
        return {}

    async def forget(self, job: Job) -> None:
        """Remove all that is kept of a job that has ended, besides its row."""
        await self._to.backend.remove(job.job_id)
        await self._to.checkpoints.remove(job.job_id)
        for kept in kept_checkpoints(job.saved):
            await self._to.artifacts.delete(kept.uri)
        await self._to.store.delete_job(job.job_id)

    async def _trained(self, context: JobContext, spec: TrainingJobSpec, inputs: TrainingInputs) -> Checkpoint:
        job_id, digest = context.job.job_id, inputs.config_digest(spec)
        kept = KeptCheckpoints(
            context,
            self._to.artifacts,
            self._to.store,
            telemetry=self._to.telemetry,
            save_total_limit=spec.save_total_limit,
        )
        while True:
            attempts = (await self._to.store.list_attempts([job_id]))[job_id]
            here = await self._newest(context, digest)
            checkpoint = await kept.restored(self._to.checkpoints, digest, here)
            if checkpoint and await self._is_result(job_id, attempts, checkpoint):
                return checkpoint
            if context.pause_requested:
                raise JobPaused
            self._refuse_hopeless(attempts, checkpoint.step if checkpoint else 0, context.job)
            attempt = await self._to.store.begin_attempt(job_id, context.epoch, checkpoint=checkpoint)
            plan = await self._plan(context, spec, inputs, attempt=attempt, checkpoint=checkpoint)
            plan = await patiently(partial(self._to.backend.prepare, plan), DISK)
            await self._attempt(context, plan, attempt, kept)

    async def _newest(self, context: JobContext, config_digest: str) -> Checkpoint | None:
        checkpoint, sentences = await self._to.checkpoints.newest(context.job.job_id, config_digest)
        for sentence in sentences:
            self._to.telemetry.checkpoint_quarantined()
            await context.event("message", {"text": sentence})
        return checkpoint

    async def _is_result(self, job_id: str, attempts: tuple[Attempt, ...], checkpoint: Checkpoint) -> bool:
        """Whether training has ended well, and its last checkpoint is still the newest."""
        if not attempts or attempts[-1].outcome is not AttemptOutcome.SUCCEEDED:
            return False
        checkpoints = await self._to.store.list_checkpoints(job_id)
        return bool(checkpoints) and checkpoints[0].digest == checkpoint.digest

    def _refuse_hopeless(self, attempts: tuple[Attempt, ...], start_step: int, job: Job) -> None:
        last = attempts[-1] if attempts else None
        if last and last.is_permanent:
            raise FailedPrecondition(
                f"Training cannot go on: {last.reason}", "Change what the reason names and start a new job."
            )
        # A hold that has brought nothing follows as many ends of the service as there were such holds before it.
        failures = num_failures(attempts, start_step) + max(job.num_barren_holds - 1, 0)
        if last and failures >= self._limits.max_attempts:
            raise FailedPrecondition(
                f"{failures} attempts failed, the last because: {last.reason}",
                "Mend the cause and start a new job; the checkpoints are kept.",
            )

    async def _plan(
        self,
        context: JobContext,
        spec: TrainingJobSpec,
        inputs: TrainingInputs,
        *,
        attempt: Attempt,
        checkpoint: Checkpoint | None,
    ) -> AttemptPlan:
        job_id = context.job.job_id
        return AttemptPlan(
            training_job_id=job_id,
            attempt=attempt.attempt,
            epoch=attempt.epoch,
            report_address=self._report_address(),
            config_digest=inputs.config_digest(spec),
            spec=spec,
            base_folder=str(await self._local(inputs.base)),
            adapter_folder=str(await self._local(inputs.adapter)) if inputs.adapter else "",
            dataset_file=str(await self._local(inputs.dataset)),
            checkpoint_folder=str(self._to.checkpoints.folder(job_id).resolve()),
            resume_from=str(path_of(checkpoint.uri)) if checkpoint else "",
            scratch_folder="",
            num_threads=self._limits.num_threads or usable_cores(),
            dtype=self._limits.dtype,
            device=self._limits.device,
        )

    async def _local(self, artifact: Artifact) -> Path:
        return await patiently(lambda: self._to.artifacts.local_path(artifact.uri), STORE)

    async def _attempt(self, context: JobContext, plan: AttemptPlan, attempt: Attempt, kept: KeptCheckpoints) -> None:
        live = self._to.live_attempts.begin(plan.training_job_id, attempt.attempt, start_step=attempt.start_step)
        processes = asyncio.create_task(self._to.backend.run(plan))
        keeping = asyncio.create_task(kept.keep_all(live.checkpoints))
        try:
            end = await self._follow(context, live, processes)
            if end.outcome is AttemptOutcome.SUCCEEDED:
                # They say to the backend, too, that they have done it, and are kept for the next job.
                await asyncio.wait({processes}, timeout=_RELEASE_SECONDS)
            processes.cancel()
            live.checkpoints.put_nowait(None)
            await keeping
        finally:
            keeping.cancel()
            processes.cancel()
            await asyncio.gather(keeping, processes, return_exceptions=True)
            self._to.live_attempts.end(plan.training_job_id)
        ended = await self._to.store.end_attempt(
            plan.training_job_id,
            attempt.attempt,
            attempt.epoch,
            outcome=end.outcome,
            reason=end.reason,
            is_permanent=end.is_permanent,
        )
        self._to.telemetry.attempt_ended(ended)
        payload = {name: getattr(ended, name) for name in ("attempt", "epoch", "start_step", "reason")}
        await context.event("attempt_end", {**payload, "outcome": str(ended.outcome)})

    async def _follow(self, context: JobContext, live: LiveAttempt, processes: asyncio.Task[int]) -> AttemptEnd:
        """Show how the attempt goes until it ends by its own report, with its processes, or by standing still."""
        reported = asyncio.create_task(live.has_ended.wait())
        shown_place, shown_time = None, 0.0
        try:
            while not live.end and not processes.done():
                now = time.monotonic()
                if now - live.moved > self._limits.stall_seconds:
                    reason = f"Nothing moved for {self._limits.stall_seconds:.0f} s in the phase {live.phase}."
                    return AttemptEnd(AttemptOutcome.FAILED, reason)
                if live.place != shown_place or now - shown_time >= _HEARTBEAT_SECONDS:
                    await _show(context, live, now)
                    shown_place, shown_time = live.place, now
                await asyncio.wait({reported, processes}, timeout=_TICK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            reported.cancel()
        await _show(context, live, time.monotonic())
        return end_of(live, processes)


async def _show(context: JobContext, live: LiveAttempt, now: float) -> None:
    if notice := live.take_notice():
        await context.event("message", {"text": notice})
    await context.progress(
        phase=live.phase,
        done=live.num_steps_done,
        total=live.num_steps_total,
        unit="steps",
        message=f"Attempt {live.attempt} has run for {now - live.started:.0f} s.",
    )
