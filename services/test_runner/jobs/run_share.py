"""The job of a share of a run: another process's windows, for as long as the run works and nothing else waits."""

from __future__ import annotations

import asyncio

import structlog

from services.chassis.errors import DatabaseAway, DatabaseFull, LeaseOver, NotFound, ServiceError
from services.chassis.jobs import Job, JobContext, JobState, JobStore, Json
from services.chassis.wire import from_document
from services.test_runner.domain import SHARE_KIND, Hold, RunRecord, TestRunSpec
from services.test_runner.jobs.run_attempt import RunAttempt
from services.test_runner.jobs.test_run import CaseReader
from services.test_runner.jobs.windows import Invitations, RunShare
from services.test_runner.ports import GenerationBackend, Registry, RunStore
from services.test_runner.telemetry import TestRunnerTelemetry

# A run that was cancelled, or has failed, is worked on for so long at the most.
_LOOK_SECONDS = 1.0
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
        run_id = context.job.spec["test_run_id"]
        run, record = await self._run(run_id), await self._store.get_run(run_id)
        if run is None or record is None:
            return {}
        work = asyncio.create_task(self._answer(context, run, record))
        try:
            while not work.done():
                await asyncio.wait({work}, timeout=_LOOK_SECONDS)
                if not work.done() and await self._run(run_id) is None:
                    return {}
            work.result()
        except (DatabaseAway, DatabaseFull, LeaseOver):
            raise
        except ServiceError as error:
            _log.warning("run_share_left", test_run_id=run_id, reason=str(error))
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        return {}

    async def _run(self, run_id: str) -> Job | None:
        """Return the run's job while it is worked on."""
        try:
            job = await self._jobs.get(run_id)
        except NotFound:
            return None
        return job if job.state in (JobState.RUNNING, JobState.PAUSING) else None

    async def _answer(self, context: JobContext, run: Job, record: RunRecord) -> None:
        spec = from_document(TestRunSpec, run.spec)
        order = context.job.spec
        invitations = Invitations(self._jobs, run.job_id, epoch=order["epoch"], number=order["number"])
        share = RunShare(
            self._store,
            record,
            spec,
            hold=Hold(context.job.job_id, context.epoch),
            invitations=invitations,
            case_of=CaseReader(self._registry, record.inputs).case_of,
        )
        attempt = RunAttempt(context, spec, share, store=self._store, backend=self._backend, telemetry=self._telemetry)
        await attempt.run(_nothing)


async def _nothing() -> None:
    """Do nothing: the run's time is counted by the process that holds it."""
