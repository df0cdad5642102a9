"""The jobs of a service as its use cases and its runner see them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from services.chassis.database.lease import durable, repeated
from services.chassis.errors import InvalidArgument
from services.chassis.jobs import rules
from services.chassis.jobs.bell import QUEUE, events_of
from services.chassis.jobs.job import Job, JobError, JobEvent, JobState, Json
from services.chassis.jobs.requests import JobRequests, found_job

# How often in a row a job may end the process that works on it.
MAX_DEATHS = 3


@durable
class JobStore(JobRequests):
    """What the owner of a job may do besides. Writes with an epoch are refused once another process has taken over."""

    async def claim(
        self,
        kinds: Sequence[str],
        owner: str,
        lease_seconds: float,
        *,
        running: Collection[str] = (),
        is_busy: bool = False,
        max_deaths: int = MAX_DEATHS,
    ) -> Job | None:
        """Take the oldest job that waits, or whose owner's lease has ended; None when there is none.

        Args:
            kinds: The kinds of job that are wanted.
            owner: Who takes it.
            lease_seconds: For how long.
            running: The ids of the jobs that the owner has.
            is_busy: Whether the owner works on one of them, and does not just wait. Then it takes nothing once the
                oldest job is one that is taken for the last time before it is given up: that job comes as soon as the
                owner has no other work, so that it alone is to blame if the process ends.
            max_deaths: A job whose holders died so often in a row, without progress, is taken once more, to clean up
                after it and end it; if that holder dies too it becomes FAILED instead.
        """
        if not kinds:
            return None
        while True:
            async with self._writing() as ledger:
                clock, now = await ledger.lease_clock(), await ledger.now()
                job = await ledger.next_claimable(kinds, clock, excluding=running)
                if job is None or (is_busy and rules.num_deaths(job) == max_deaths - 1):
                    return None
                is_hopeless = rules.num_deaths(job) > max_deaths
                lease = rules.Lease.starting(owner, seconds=lease_seconds, clock=clock, now=now)
                change = rules.killed(job, now) if is_hopeless else rules.claimed(job, lease, now)
                await ledger.save(change.job, change.events)
            self._announce(change)
            if not is_hopeless:
                return change.job

    async def has_claimable(self, kinds: Sequence[str]) -> bool:
        """Return whether a job waits, or has lost its holder, so that a claim would take it."""
        async with self._writing() as ledger:
            return await ledger.next_claimable(kinds, await ledger.lease_clock(), excluding=()) is not None

    async def renew(self, job_id: str, epoch: int, lease_seconds: float, *, worked_seconds: float | None = None) -> Job:
        """Prolong the lease and return the job as it is now, with any request to cancel or pause.

        Args:
            job_id: The job.
            epoch: That of the hold.
            lease_seconds: For how long from now.
            worked_seconds: The job's time of work up to now, by the holder's monotonic clock.

        Raises:
            FailedPrecondition: The epoch has ended.
        """
        async with self._writing() as ledger:
            job = found_job(await ledger.load(job_id), job_id)
            rules.check_epoch(job, epoch)
            lease = rules.Lease.starting(
                job.owner or "", seconds=lease_seconds, clock=await ledger.lease_clock(), now=await ledger.now()
            )
            job = rules.worked(job, worked_seconds)
            job = replace(job, lease_until=lease.until, lease_expire_time=lease.expire_time)
            await ledger.save(job, ())
        return job

    async def release(self, job_id: str, epoch: int, *, worked_seconds: float | None = None) -> None:
        """Give the lease back without ending the job: the next process takes it over at once.

        `worked_seconds` is that of `renew`.

        Raises:
            FailedPrecondition: The epoch has ended.
        """
        await self._move(
            job_id, lambda job, _now: rules.Change(rules.released(rules.worked(job, worked_seconds)), ()), epoch=epoch
        )
        self.bell.ring(QUEUE)

    async def take_over_all(self, kinds: Sequence[str]) -> int:
        """End every lease and say how many; only for a process that knows itself to be the store's only one."""
        async with self._writing() as ledger:
            num_jobs = await ledger.end_leases(kinds)
        self.bell.ring(QUEUE)
        return num_jobs

    async def append_event(self, job_id: str, epoch: int, type_: str, payload: Json) -> JobEvent:
        """Add a row of the job's own kind of event to its history.

        Raises:
            FailedPrecondition: The epoch has ended.
            InvalidArgument: The type is one that the store writes itself, or the payload is not JSON.
        """
        if type_ in rules.RESERVED_EVENTS:
            raise InvalidArgument(f"Events of type {type_} are written by the job store.", "Choose another type.")
        plain = rules.plain_json(payload, "payload")
        sequences: list[int] = []

        async def append() -> JobEvent:
            async with self._writing() as ledger:
                job = found_job(await ledger.load(job_id), job_id)
                rules.check_epoch(job, epoch)
                sequences.append(job.last_sequence)
                # A repeat finds the event there when only the answer to an earlier try was lost.
                if (num_newer := job.last_sequence - sequences[0]) > 0:
                    for event in await ledger.events(job_id, sequences[0], num_newer):
                        if (event.type, event.payload) == (type_, plain):
                            return event
                change = rules.told(job, await ledger.now(), type_, plain)
                await ledger.save(change.job, change.events)
            self._announce(change)
            return change.events[0]

        return await repeated(append)()

    def announce_events(self, job_id: str) -> None:
        """Tell who watches the job that its history has grown."""
        self.bell.ring(events_of(job_id))

    async def set_progress(self, job_id: str, epoch: int, progress: Json, *, waits: bool = False) -> Job:
        """Store how far the job has come, as its current value and as an event of type `progress`.

        `waits` says that the work goes on elsewhere, until the next report.

        Raises:
            FailedPrecondition: The epoch has ended.
        """
        plain = rules.plain_json(progress, "progress")
        return await self._move(job_id, lambda job, now: rules.progressed(job, now, plain, waits=waits), epoch=epoch)

    async def save_checkpoint(self, job_id: str, epoch: int, saved: Json) -> Job:
        """Store the small state from which the next attempt goes on, in place of the last one.

        Raises:
            FailedPrecondition: The epoch has ended.
        """
        plain = rules.plain_json(saved, "checkpoint")
        return await self._move(job_id, lambda job, now: rules.saved(job, now, plain), epoch=epoch)

    async def finish(
        self,
        job_id: str,
        epoch: int,
        state: JobState,
        *,
        result: Json | None = None,
        error: JobError | None = None,
        worked_seconds: float | None = None,
    ) -> Job:
        """End this hold of the job as SUCCEEDED, FAILED, CANCELLED or PAUSED, and give the lease back.

        `worked_seconds` is that of `renew`.

        Raises:
            FailedPrecondition: The epoch has ended, or the job may not end so.
        """
        plain = None if result is None else rules.plain_json(result, "result")

        def end(job: Job, now: datetime) -> rules.Change:
            return rules.finished(rules.worked(job, worked_seconds), state, now, result=plain, error=error)

        return await self._move(job_id, end, epoch=epoch)

    async def decline_pause(self, job_id: str, epoch: int, reason: str) -> Job:
        """Go on with a job that cannot pause now; its history tells the reason.

        Raises:
            FailedPrecondition: The epoch has ended.
        """
        return await self._move(job_id, lambda job, now: rules.pause_declined(job, now, reason), epoch=epoch)
