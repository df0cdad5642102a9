"""One hold of one job by this process, from the claim to its recorded end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from time import monotonic
from typing import TypeAlias

import structlog

from services.chassis.database.lease import HeldLease, boot_seconds, without_lease
from services.chassis.errors import (
    DatabaseAway,
    DatabaseFull,
    FailedPrecondition,
    InvalidArgument,
    LeaseOver,
    NotFound,
    ServiceError,
)
from services.chassis.jobs.bell import requests_of
from services.chassis.jobs.context import JobContext, JobPaused
from services.chassis.jobs.job import Job, JobError, JobState, Json
from services.chassis.jobs.store import JobStore
from services.chassis.machine.caller import current_caller, current_workspace
from services.chassis.status import from_exception
from services.chassis.telemetry import tracing
from services.chassis.waiting import waits_told

Function: TypeAlias = Callable[[JobContext], Awaitable[Json]]

_RETRY_SECONDS = 1.0
# So many fit in a lease at least: the last before an outage leaves most of it.
_RENEWALS = 5
# A renewal also brings requests that could not be read when they came: a long lease does not let them wait for longer.
_RENEWAL_SECONDS = 6.0
# Of all jobs of this process together, where their leases are long enough.
_RENEWALS_A_SECOND = 20
_log = structlog.get_logger()


class _Stop(Enum):
    CANCEL = "someone cancelled the job"
    DRAIN = "this process ends"
    FENCED = "another process owns the job now"
    AWAY = "the database was away for too long"


@dataclass(frozen=True)
class _Outcome:
    state: JobState
    result: Json | None = None
    error: JobError | None = None


class Attempt:
    """Runs a job's function beside a task that keeps its lease and passes on requests.

    A job that is being cancelled, or is given up with `last_error`, is only cleaned up after.
    """

    def __init__(
        self,
        store: JobStore,
        job: Job,
        *,
        function: Function,
        cleanup: Function | None,
        lease: HeldLease,
        last_error: JobError | None = None,
    ) -> None:
        self.context = JobContext(store, job)
        self._store = store
        self._function = function
        self._cleanup = cleanup
        self._lease = lease
        self._last_error = last_error
        self._start = monotonic() - (job.worked_seconds or 0.0)
        self._is_cleanup = self.context.cancel_requested or last_error is not None
        self._stop: _Stop | None = None
        self._work: asyncio.Task[Json] | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether this process does nothing for the job now but wait for others."""
        return self.context.waits or self.context.tells_wait

    @property
    def _worked_seconds(self) -> float:
        """For how long the job was worked on, by this and earlier holders."""
        return monotonic() - self._start

    async def run(self) -> None:
        """Do the work and record how it ended, unless the job belongs to another process by then."""
        job = self.context.job
        structlog.contextvars.bind_contextvars(job_id=job.job_id, job_kind=job.kind)
        _log.info("job_attempt_started", attempt=job.attempt, epoch=job.epoch)
        keeper = asyncio.create_task(self._keep())
        self._lease.bind()
        self._work = asyncio.create_task(self._do())
        try:
            outcome = await self._outcome(self._work)
            if outcome is not None:
                await self._record(outcome)
            if self._stop in (_Stop.DRAIN, _Stop.AWAY):
                await self._hand_over()
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)

    def interrupt(self) -> None:
        """End the work because this process ends; the job stays as it is for the next one."""
        self._end_work(_Stop.DRAIN)

    async def _do(self) -> Json:
        job = self.context.job
        # What the work makes elsewhere belongs where the job does.
        current_workspace.set(job.workspace_id)
        current_caller.set(job.as_caller)
        with tracing.span(f"job {job.kind}", "CONSUMER", parent=await self._asked_by()) as facts:
            waited = (datetime.now(UTC) - job.create_time).total_seconds()
            facts.attributes |= {"drillyard.job.id": job.job_id, "drillyard.job.attempt": job.attempt}
            facts.attributes |= {"drillyard.job.seconds_since_created": waited}
            try:
                return await self._work_or_clean_up()
            except JobPaused:
                facts.error = ""
                raise

    async def _asked_by(self) -> str:
        """Return the span of the request that made the job, which its first event keeps."""
        try:
            events = await self._store.events(self.context.job.job_id, limit=1) if tracing.is_on() else ()
        except ServiceError:
            return ""
        return str(events[0].payload.get(tracing.TRACEPARENT, "")) if events else ""

    async def _work_or_clean_up(self) -> Json:
        if not self._is_cleanup:
            with waits_told(self._tell_wait):
                return await self._function(self.context)
        if self._cleanup is not None:
            await self._cleanup(self.context)
        return {}

    async def _tell_wait(self, sentence: str, is_waiting: bool) -> None:
        goes_on = self.context.tells_wait and not is_waiting
        await self.context.progress(message=sentence)
        self.context.tells_wait = is_waiting
        if goes_on:
            # Stored first, since what this process does next may end it.
            await self.context.close()

    async def _outcome(self, work: asyncio.Task[Json]) -> _Outcome | None:
        try:
            result = await work
            if self._last_error is not None and not self.context.cancel_requested:
                return _Outcome(JobState.FAILED, error=self._last_error)
            return _Outcome(JobState.SUCCEEDED, result=result)
        except JobPaused:
            return self._outcome_of_pause()
        except asyncio.CancelledError:
            return self._outcome_of_stop()
        except (DatabaseAway, DatabaseFull, LeaseOver) as error:
            self._give_up(error)
            return None
        except Exception as error:
            described = _describe(error)
            return _Outcome(JobState.FAILED, error=self._last_error or described)

    def _outcome_of_pause(self) -> _Outcome:
        if self.context.pause_requested or self.context.cancel_requested:
            return _Outcome(JobState.PAUSED)
        problem = JobError("INTERNAL", "The work stopped for a pause that nobody asked for.", "Start it again.")
        return _Outcome(JobState.FAILED, error=problem)

    def _outcome_of_stop(self) -> _Outcome | None:
        if self._stop is _Stop.CANCEL:
            return _Outcome(JobState.CANCELLED)
        if self._stop is None:
            problem = JobError("INTERNAL", "The work was interrupted from within.", "Start it again.")
            return _Outcome(JobState.FAILED, error=problem)
        return None

    async def _record(self, outcome: _Outcome) -> None:
        job = self.context.job
        try:
            await self.context.close()
            ended = await self._store.finish(
                job.job_id,
                job.epoch,
                outcome.state,
                result=outcome.result,
                error=outcome.error,
                worked_seconds=self._worked_seconds,
            )
        except LeaseOver as error:
            self._give_up(error)
        except InvalidArgument as error:
            # The result is not JSON: no repeat would make it so.
            await self._record(_Outcome(JobState.FAILED, error=_describe(error)))
        except (FailedPrecondition, NotFound) as error:
            _log.warning("job_end_refused", state=str(outcome.state), reason=str(error))
        else:
            _log.info("job_attempt_ended", state=str(ended.state), code=outcome.error and outcome.error.code)

    def _give_up(self, error: ServiceError) -> None:
        _log.warning("job_given_up", reason=str(error))
        if self._stop is not _Stop.DRAIN:
            self._stop = _Stop.AWAY

    async def _hand_over(self) -> None:
        """Give the lease back; an attempt that could not write waits for the database however long it is away."""
        while True:
            try:
                with without_lease():
                    await self.context.close()
                    await self._store.release(
                        self.context.job.job_id, self.context.epoch, worked_seconds=self._worked_seconds
                    )
            except (DatabaseAway, DatabaseFull) as error:
                if self._stop is _Stop.DRAIN:
                    _log.warning("lease_not_released", reason=str(error))
                    return
                await asyncio.sleep(_RETRY_SECONDS)
            except ServiceError as error:
                _log.warning("lease_not_released", reason=str(error))
                return
            else:
                return

    async def _keep(self) -> None:
        job_id = self.context.job.job_id
        with self._store.bell.listen(requests_of(job_id)) as listener:
            while not self._lease.is_over:
                pause = max(_RENEWAL_SECONDS, self._store.bell.num_topics / _RENEWALS_A_SECOND)
                await listener.wait(min(pause, self._lease.seconds / _RENEWALS, self._lease.seconds_left))
                if self._work is not None and not self._work.done():
                    await self._renew(job_id)
            if self._stop is None and self._work is not None and not self._work.done():
                # What frozen, overloaded or databaseless processes have in common: nobody renewed it in time.
                _log.warning(
                    "job_lease_ended", lease_seconds=self._lease.seconds, late_seconds=self._lease.seconds_over
                )
            self._end_work(_Stop.AWAY)

    async def _renew(self, job_id: str) -> None:
        since = boot_seconds()
        renewal = asyncio.create_task(
            self._store.renew(job_id, self.context.epoch, self._lease.seconds, worked_seconds=self._worked_seconds)
        )
        renewal.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            # A call that hangs is left behind: the lease ends all the same.
            await asyncio.wait({renewal}, timeout=self._lease.seconds_left)
        except asyncio.CancelledError:
            renewal.cancel()
            await asyncio.wait({renewal}, timeout=_RETRY_SECONDS)
            raise
        if self._lease.is_over:
            renewal.cancel()
            return
        error = renewal.exception()
        if error is None:
            self._lease.renew(since)
            self.context.observe(renewal.result())
        elif isinstance(error, FailedPrecondition | NotFound):
            _log.warning("job_lost", reason=str(error))
            self._end_work(_Stop.FENCED)
            self._lease.end()
        else:
            _log.warning("lease_not_renewed", reason=str(error), exc_info=not isinstance(error, ServiceError) and error)
        if self.context.cancel_requested and not self._is_cleanup:
            self._end_work(_Stop.CANCEL)

    def _end_work(self, reason: _Stop) -> None:
        if self._stop is not None or self._work is None or self._work.done():
            return
        self._stop = reason
        self._work.cancel()


def _describe(error: Exception) -> JobError:
    service_error = from_exception(error)
    if service_error is not None:
        return JobError(service_error.code, service_error.problem, service_error.next_step)
    _log.error("job_failed_unexpectedly", exc_info=error)
    return JobError(
        "INTERNAL", "The job met an unexpected error.", "Look for its job_id in the service's log, then start it again."
    )
