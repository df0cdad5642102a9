"""The job of a share of a run: another process's windows, for as long as the run works and nothing else waits."""

import asyncio
import time

import structlog

from services.chassis.errors import DatabaseAway, DatabaseFull, FailedPrecondition, LeaseOver, NotFound, ServiceError
from services.chassis.jobs import Job, JobContext, JobState, JobStore, Json
from services.chassis.wire import from_document
from services.test_runner.domain.test_run import SHARE_KIND, Hold, RunRecord, TestRunSpec
from services.test_runner.jobs.invitations import Invitations, Likeness
from services.test_runner.jobs.run_attempt import RunAttempt
from services.test_runner.jobs.test_run import CaseReader
from services.test_runner.jobs.windows import RunShare
from services.test_runner.ports.generation import GenerationBackend
from services.test_runner.ports.registry import Registry
from services.test_runner.ports.store import RunStore
from services.test_runner.resolution import profile_of
from services.test_runner.telemetry import TestRunnerTelemetry

# A run that was cancelled, or has failed, is worked on for so long at the most.
_LOOK_SECONDS = 1.0
# The run waits for a window that is claimed. A replica that loads for longer helps another run.
_PREPARE_SECONDS = 120.0
# Who cannot help asks the next, and stays away for so long that it is another, where there is one.
_TURN_SECONDS = 2.0
_MOST_INVITATIONS = 8
_log = structlog.get_logger()


class RunShareJob:
    """Answers windows of a run that another process holds. Whatever ends it, the run goes on without it."""

    kind = SHARE_KIND

    def __init__(
        self,
        *,
        store: RunStore,
        jobs: JobStore,
        registry: Registry,
        backend: GenerationBackend,
        telemetry: TestRunnerTelemetry,
    ) -> None:
        self._store, self._jobs, self._registry = store, jobs, registry
        self._backend, self._telemetry = backend, telemetry

    async def __call__(self, context: JobContext) -> Json:
        """Work until no window is left to take, or the run is paused or has ended."""
        run_id, order = context.job.spec["test_run_id"], context.job.spec
        place = {"epoch": order["epoch"], "number": order["number"]}
        invitations = Invitations(self._jobs, run_id, likeness=Likeness.of(order), **place)
        try:
            if (run := await self._run(run_id)) is not None:
                await self._work(context, run, invitations)
        except (DatabaseAway, DatabaseFull, LeaseOver):
            raise
        except ServiceError as error:
            _log.warning("run_share_left", test_run_id=run_id, reason=str(error))
            if order["number"] < _MOST_INVITATIONS and await self._run(run_id):
                await invitations.send()
                await asyncio.sleep(_TURN_SECONDS)
        return {}

    async def _work(self, context: JobContext, run: Job, invitations: Invitations) -> None:
        start = time.monotonic() - (context.job.worked_seconds or 0.0)

        async def note_help() -> None:
            await self._store.note_help(run.job_id, context.job.job_id, time.monotonic() - start)

        # A spec that another release wrote may ask for what this one leaves out.
        computes = run.spec.get("endpoint") is None
        Likeness.here().check(Likeness.of(context.job.spec), computes=computes)
        record = await self._store.get_run(run.job_id)
        if record is None:
            return
        if record.inputs.profile_digest != profile_digest(record.inputs.profile_id):
            raise FailedPrecondition(
                "This replica writes other prompts than the run has.", "Wait until all replicas are of one release."
            )
        spec = from_document(TestRunSpec, run.spec)
        share = self._share(context, record, spec, invitations)
        attempt = RunAttempt(context, spec, share, store=self._store, backend=self._backend, telemetry=self._telemetry)
        work = asyncio.create_task(attempt.run(note_help))
        try:
            await self._watch(work, run.job_id, share)
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await note_help()

    async def _watch(self, work: asyncio.Task[RunRecord], run_id: str, share: RunShare) -> None:
        """Return once the work is done, its run has ended, or has waited for long enough for a model to be loaded."""
        end = time.monotonic() + _PREPARE_SECONDS
        while not work.done():
            await asyncio.wait({work}, timeout=_LOOK_SECONDS)
            if not work.done() and await self._run(run_id) is None:
                return
            if not share.is_prepared and time.monotonic() > end and not work.done():
                _log.warning("run_share_left", test_run_id=run_id, reason="The model is not loaded yet.")
                return
        work.result()

    async def _run(self, run_id: str) -> Job | None:
        """Return the run's job while it is worked on."""
        try:
            job = await self._jobs.get(run_id)
        except NotFound:
            return None
        return job if job.state in (JobState.RUNNING, JobState.PAUSING) else None

    def _share(self, context: JobContext, record: RunRecord, spec: TestRunSpec, invitations: Invitations) -> RunShare:
        hold = Hold(context.job.job_id, context.epoch)
        case_of = CaseReader(self._registry, record.inputs).case_of
        return RunShare(self._store, record, spec, hold=hold, invitations=invitations, case_of=case_of)


def profile_digest(profile_id: str) -> str:
    """Return the digest of what this release knows of a protocol."""
    return profile_of(profile_id).digest
