"""What the function that does a job may see of it and say about it."""

from __future__ import annotations

import asyncio
import math
import time

import structlog

from services.chassis.errors import DatabaseAway, DatabaseFull, ServiceError
from services.chassis.jobs.job import Job, JobEvent, JobState, Json
from services.chassis.jobs.store import JobStore

PROGRESS_SECONDS = 0.5
_log = structlog.get_logger()


class JobPaused(Exception):
    """Raised by a job's function once its work is saved and nothing of it runs any more; the job becomes PAUSED."""


class JobContext:
    """One attempt of one job.

    Every write but progress waits while the service's database is away. It raises FailedPrecondition once another
    process has taken the job over, or LeaseOver when the database was away for longer than the lease.

    Attributes:
        waits: Set by the function while its work goes on elsewhere: a process that ends then is not ended by this job.
        tells_wait: The same, until the next report of progress.
        awaits_person: Set by the function while only a person can let it go on: it then takes no place of its kind's
            limit from others.
    """

    def __init__(self, store: JobStore, job: Job) -> None:
        self.waits = False
        self.tells_wait = False
        self.awaits_person = False
        self._store = store
        self._job = job
        self._progress: Json = dict(job.progress)
        self._num_reports = self._num_stored = 0
        self._last_sent = -math.inf
        self._sender: asyncio.Task[None] | None = None
        self._asked = asyncio.Event()
        self._saved = job.saved
        self.observe(job)

    @property
    def job(self) -> Job:
        """The job as it was last read."""
        return self._job

    @property
    def epoch(self) -> int:
        """The number of this hold; pass it to worker processes and refuse reports with another."""
        return self._job.epoch

    @property
    def saved(self) -> Json | None:
        """What the last `checkpoint` stored, in this attempt or an earlier one; None at the very start."""
        return self._saved

    @property
    def cancel_requested(self) -> bool:
        """Whether someone asked to cancel; the function's task is cancelled too."""
        return self._job.state is JobState.CANCELLING

    @property
    def pause_requested(self) -> bool:
        """Whether someone asked to pause: save, stop what runs, raise `JobPaused`."""
        return self._job.state is JobState.PAUSING

    async def wait_for_request(self) -> None:
        """Return when a pause or cancel is asked for."""
        await self._asked.wait()

    async def progress(
        self,
        *,
        phase: str | None = None,
        done: int | None = None,
        total: int | None = None,
        unit: str | None = None,
        message: str | None = None,
        facts: Json | None = None,
    ) -> None:
        """Say how far the work is; what is left out stays as it was. At most two reports a second are stored.

        Where many jobs report at once, each does so less often: the process stores twenty reports a second in all.

        Returns at once and raises nothing: while the database is away the work goes on, and the last report counts.

        Args:
            phase: What is done now, such as `load_model`; one word.
            done: How much is done, in `unit`.
            total: How much there is to do.
            unit: What is counted.
            message: One sentence for people.
            facts: Further fields of this kind of job, such as `tokens_per_second`, for those who watch.
        """
        report = {"phase": phase, "done": done, "total": total, "unit": unit, "message": message}
        self._progress |= {name: value for name, value in report.items() if value is not None} | (facts or {})
        self.tells_wait = False
        self._num_reports += 1
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send())

    async def event(self, type_: str, payload: Json) -> JobEvent:
        """Add an event of the job's own kind to its history, at once.

        Raises:
            FailedPrecondition: Another process has taken the job over.
            InvalidArgument: The type is `state`, `progress` or `attempt`, or the payload is not JSON.
        """
        return await self._store.append_event(self._job.job_id, self.epoch, type_, payload)

    async def checkpoint(self, state: Json) -> None:
        """Store durably, in place of the last one, the small state from which another attempt goes on.

        Raises:
            FailedPrecondition: Another process has taken the job over.
        """
        job = await self._store.save_checkpoint(self._job.job_id, self.epoch, state)
        self._saved = job.saved
        self.observe(job)

    async def decline_pause(self, reason: str) -> None:
        """Go on although a pause was asked for; `reason` is one sentence for the person who asked."""
        self.observe(await self._store.decline_pause(self._job.job_id, self.epoch, reason))

    async def close(self) -> None:
        """Store the last progress at once, unless the job's lease ends before."""
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)
        await self._store_progress()

    def observe(self, job: Job) -> None:
        """Take note of the job's row as it is now."""
        self._job = job
        if self.cancel_requested or self.pause_requested:
            self._asked.set()
        else:
            self._asked.clear()

    async def _send(self) -> None:
        while self._num_stored < self._num_reports:
            await asyncio.sleep(self._last_sent + PROGRESS_SECONDS - time.monotonic())
            await asyncio.sleep(self._store.pace_of_progress.wait_seconds())
            await self._store_progress()

    async def _store_progress(self) -> None:
        number = self._num_reports
        if self._num_stored == number:
            return
        self._last_sent = time.monotonic()
        try:
            self.observe(
                await self._store.set_progress(
                    self._job.job_id, self.epoch, dict(self._progress), waits=self.waits or self.tells_wait
                )
            )
        except (DatabaseAway, DatabaseFull):
            return
        except Exception as error:
            # Nobody awaits a report, and a lost lease ends the attempt by itself.
            _log.warning("progress_not_stored", reason=str(error), exc_info=not isinstance(error, ServiceError))
        self._num_stored = number
