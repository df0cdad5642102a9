"""Does a training job: attempt after attempt, each from the newest checkpoint that verifies, then one registration."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from services.chassis.errors import FailedPrecondition, NotFound
from services.chassis.jobs import Job, JobContext, JobPaused, Json
from services.chassis.telemetry import tracing
from services.chassis.waiting import patiently
from services.chassis.wire import from_document
from services.lm.process import usable_cores
from services.trainer.domain.attempt import Attempt, AttemptOutcome, Checkpoint, num_failures
from services.trainer.domain.inputs import Artifact, TrainingInputs
from services.trainer.domain.plan import AttemptPlan
from services.trainer.domain.spec import TrainingJobSpec
from services.trainer.jobs.adapters import Adapters
from services.trainer.jobs.kept_checkpoints import DISK, STORE, KeptCheckpoints, kept_checkpoints
from services.trainer.jobs.pauses import or_paused, pauses_declined
from services.trainer.jobs.places import REGISTRY, Places, chosen, places_of, register
from services.trainer.live_attempts import AttemptEnd, LiveAttempt, end_of

_SYSTEM = "the operating system"
_TICK_SECONDS = 0.5
_HEARTBEAT_SECONDS = 2.5


@dataclass(frozen=True)
class TrainingLimits:
    """Settings of the service that bound its jobs, and how their attempts call it."""

    max_attempts: int = 3
    num_threads: int = 0
    dtype: str = "auto"
    device: str = "auto"
    stall_seconds: float = 900.0
    release_seconds: float = 5.0
    report_name: str = ""
    tls_folder: str = ""


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
            inputs = await or_paused(context, self._resolved(job_id, spec))
        await self.clear(context)
        trained = await self._trained(context, spec, inputs)
        async with pauses_declined(context, "Training has ended, and its result is being registered."):
            return await register(self._to, context, spec, inputs, trained)

    async def _resolved(self, job_id: str, spec: TrainingJobSpec) -> TrainingInputs:
        resolved = await patiently(lambda: self._to.inputs.resolve(spec), REGISTRY)
        return await patiently(lambda: self._to.inputs.store(job_id, spec, resolved), STORE)

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
        inputs = (await self._to.store.get_inputs([job.job_id])).get(job.job_id)
        fork = inputs.fork if inputs else None
        for artifact in (*kept_checkpoints(job.saved), *([fork] if fork else ())):
            await self._to.artifacts.delete(artifact.uri)
        await self._to.store.delete_job(job.job_id)

    async def _trained(self, context: JobContext, spec: TrainingJobSpec, inputs: TrainingInputs) -> Checkpoint:
        job_id, digest = context.job.job_id, inputs.config_digest(spec)
        kept = KeptCheckpoints(
            context,
            self._to.artifacts,
            self._to.store,
            telemetry=self._to.telemetry,
            save_total_limit=spec.save_total_limit,
            are_stored=self._to.backend.fetches_artifacts,
        )
        while True:
            attempts = (await self._to.store.list_attempts([job_id]))[job_id]
            here = await self._newest(context, digest)
            checkpoint = await kept.restored(self._to.checkpoints, digest, here)
            if checkpoint is None and inputs.fork:
                checkpoint = await self._first_of_fork(job_id, inputs.fork, digest)
            if checkpoint and await self._is_result(job_id, attempts, checkpoint):
                if spec.load_best_model_at_end:
                    return await chosen(self._to, context, kept, digest=digest, last=checkpoint)
                return checkpoint
            step = checkpoint.step if checkpoint else 0
            if context.pause_requested:
                await _tell_lost_steps(context, attempts, step)
                raise JobPaused
            if self._to.live_attempts.is_draining:
                # The end of this process interrupts it.
                await asyncio.Event().wait()
            self._refuse_hopeless(attempts, step, context.job)
            with_suites = not step and not spec.allow_suite_overlap
            find = places_of(self._to, inputs, kept, checkpoint, with_suites=with_suites)
            places = await or_paused(context, find)
            attempt = await self._to.store.begin_attempt(job_id, context.epoch, checkpoint=checkpoint)
            plan = self._plan(context, spec, digest, places=places, attempt=attempt)
            plan = await patiently(partial(self._to.backend.prepare, plan), DISK)
            await self._attempt(context, plan, attempt, kept)

    async def _first_of_fork(self, job_id: str, fork: Artifact, config_digest: str) -> Checkpoint:
        try:
            source = await patiently(lambda: self._to.artifacts.local_path(fork.uri), STORE)
        except NotFound as error:
            raise FailedPrecondition(
                "The checkpoint that the fork begins with was deleted after the job was created.",
                "Start a new job with one that is there.",
            ) from error
        return await patiently(partial(self._to.checkpoints.restore, job_id, source, config_digest), DISK)

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

    def _plan(
        self,
        context: JobContext,
        spec: TrainingJobSpec,
        config_digest: str,
        *,
        places: Places,
        attempt: Attempt,
    ) -> AttemptPlan:
        job_id = context.job.job_id
        return AttemptPlan(
            training_job_id=job_id,
            attempt=attempt.attempt,
            epoch=attempt.epoch,
            report_address=self._report_address(),
            config_digest=config_digest,
            spec=spec,
            base_folder=places.base,
            adapter_folder=places.adapter,
            dataset_file=places.dataset,
            checkpoint_folder=str(self._to.checkpoints.folder(job_id).resolve()),
            resume_from=places.resume_from,
            scratch_folder="",
            num_threads=self._limits.num_threads or usable_cores(),
            dtype=self._limits.dtype,
            device=self._limits.device,
            stall_seconds=self._limits.stall_seconds,
            suites=places.suites,
            validation_file=places.validation,
            **tracing.carried(),
            tls_folder=self._limits.tls_folder,
            report_name=self._limits.report_name,
        )

    async def _attempt(self, context: JobContext, plan: AttemptPlan, attempt: Attempt, kept: KeptCheckpoints) -> None:
        live = self._to.live_attempts.begin(plan.training_job_id, attempt.attempt, start_step=attempt.start_step)
        processes = asyncio.create_task(self._to.backend.run(plan))
        keeping = asyncio.create_task(kept.keep_all(live.checkpoints))
        try:
            end = await self._follow(context, live, processes)
            if end.outcome is AttemptOutcome.SUCCEEDED:
                # They say to the backend, too, that they have done it, and are kept for the next job.
                await asyncio.wait({processes}, timeout=self._limits.release_seconds)
            processes.cancel()
            live.checkpoints.put_nowait(None)
            await keeping
        finally:
            keeping.cancel()
            if not processes.cancelling():
                # A second cancel would end the wait for their end.
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
                live.wait(self._to.backend.wait_reason(context.job.job_id) if live.is_preparing else "")
                if now - live.moved > self._limits.stall_seconds:
                    reason = f"Nothing moved for {self._limits.stall_seconds:.0f} s in the phase {live.phase}."
                    return AttemptEnd(AttemptOutcome.FAILED, reason)
                if context.pause_requested and live.is_preparing:
                    # Nothing is lost, and what it still prepares may take minutes.
                    return AttemptEnd(AttemptOutcome.STOPPED, "It was paused before its first step.")
                if live.place != shown_place or now - shown_time >= _HEARTBEAT_SECONDS:
                    await _show(context, live, now)
                    shown_place, shown_time = live.place, now
                await asyncio.wait({reported, processes}, timeout=_TICK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            reported.cancel()
        await _show(context, live, time.monotonic())
        return end_of(live, processes)


async def _tell_lost_steps(context: JobContext, attempts: tuple[Attempt, ...], step: int) -> None:
    """Say so when the attempt that was to save for a pause could not."""
    last = attempts[-1] if attempts else None
    if last and last.outcome in (AttemptOutcome.FAILED, AttemptOutcome.LOST):
        text = f"Paused after step {step}, and what was done since is done again on resume: {last.reason}"
        await context.event("message", {"text": text})


async def _show(context: JobContext, live: LiveAttempt, now: float) -> None:
    for notice in live.take_notices():
        await context.event("message", {"text": notice})
    message = live.waits_for or f"Attempt {live.attempt} has run for {now - live.started:.0f} s."
    if context.pause_requested:
        message = "Pausing: the step that goes on is ended, then all is saved, read back and freed."
    await context.progress(
        phase=live.phase,
        done=live.num_steps_done,
        total=live.num_steps_total,
        unit="steps",
        message=message,
    )
