"""One hold of one job by this process, from the claim to its recorded end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

import structlog

from services.chassis.errors import FailedPrecondition, NotFound, ServiceError
from services.chassis.jobs.bell import requests_of
from services.chassis.jobs.context import JobContext, JobPaused
from services.chassis.jobs.job import Job, JobError, JobState, Json
from services.chassis.jobs.store import JobStore
from services.chassis.status import from_exception
from services.chassis.waiting import waits_told

Function: TypeAlias = Callable[[JobContext], Awaitable[Json]]

_RETRY_SECONDS = 1.0
_log = structlog.get_logger()


class _Stop(Enum):
    CANCEL = "someone cancelled the job"
    DRAIN = "this process ends"
    FENCED = "another process owns the job now"


@dataclass(frozen=True)
class _Outcome:
    state: JobState
    result: Json | None = None
    error: JobError | None = None


class Attempt:
    """Runs a job's function beside a task that keeps its lease and passes on requests."""

    def __init__(
        self, store: JobStore, job: Job, *, function: Function, cleanup: Function | None, lease_seconds: float
    ) -> None:
        self.context = JobContext(store, job)
        self._store = store
        self._function = function
        self._cleanup = cleanup
        self._lease_seconds = lease_seconds
        self._renewed = time.monotonic()
        self._stop: _Stop | None = None
        self._work: asyncio.Task[Json] | None = None

    async def run(self) -> None:
        """Do the work and record how it ended, unless the job belongs to another process by then."""
        job = self.context.job
        structlog.contextvars.bind_contextvars(job_id=job.job_id, job_kind=job.kind)
        _log.info("job_attempt_started", attempt=job.attempt, epoch=job.epoch)
        self._work = asyncio.create_task(self._do())
        keeper = asyncio.create_task(self._keep())
        try:
            outcome = await self._outcome(self._work)
            if outcome is not None:
                await self._record(outcome)
            elif self._stop is _Stop.DRAIN:
                await self._hand_over()
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)

    def interrupt(self) -> None:
        """End the work because this process ends; the job stays as it is for the next one."""
        self._end_work(_Stop.DRAIN)

    async def _do(self) -> Json:
        if not self.context.cancel_requested:
            with waits_told(lambda sentence: self.context.progress(message=sentence)):
                return await self._function(self.context)
        if self._cleanup is not None:
            await self._cleanup(self.context)
        return {}

    async def _outcome(self, work: asyncio.Task[Json]) -> _Outcome | None:
        try:
            return _Outcome(JobState.SUCCEEDED, result=await work)
        except JobPaused:
            return self._outcome_of_pause()
        except asyncio.CancelledError:
            return self._outcome_of_stop()
        except Exception as error:
            return _Outcome(JobState.FAILED, error=_describe(error))

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
        while True:
            try:
                await self.context.close()
                ended = await self._store.finish(
                    job.job_id, job.epoch, outcome.state, result=outcome.result, error=outcome.error
                )
            except (FailedPrecondition, NotFound) as error:
                _log.warning("job_end_refused", state=str(outcome.state), reason=str(error))
                return
            except ServiceError as error:
                if self._lease_is_over():
                    _log.error("job_end_not_stored", state=str(outcome.state), reason=str(error))
                    return
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                _log.info("job_attempt_ended", state=str(ended.state), code=outcome.error and outcome.error.code)
                return

    async def _hand_over(self) -> None:
        try:
            await self.context.close()
            await self._store.release(self.context.job.job_id, self.context.epoch)
        except ServiceError as error:
            _log.warning("lease_not_released", reason=str(error))

    async def _keep(self) -> None:
        job_id, pause = self.context.job.job_id, self._lease_seconds / 3
        with self._store.bell.listen(requests_of(job_id)) as listener:
            while self._stop is not _Stop.FENCED:
                await listener.wait(pause)
                await self._renew(job_id)

    async def _renew(self, job_id: str) -> None:
        if self._work is None or self._work.done():
            return
        try:
            self.context.observe(await self._store.renew(job_id, self.context.epoch, self._lease_seconds))
            self._renewed = time.monotonic()
        except (FailedPrecondition, NotFound) as error:
            _log.warning("job_lost", reason=str(error))
            self._end_work(_Stop.FENCED)
        except ServiceError as error:
            _log.warning("lease_not_renewed", reason=str(error))
            if self._lease_is_over():
                self._end_work(_Stop.FENCED)
        if self.context.cancel_requested:
            self._end_work(_Stop.CANCEL)

    def _lease_is_over(self) -> bool:
        return time.monotonic() - self._renewed >= self._lease_seconds

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
