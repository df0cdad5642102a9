"""Works on the jobs of one service process: claims them, keeps their leases, records how they end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from itertools import product

import structlog

from services.chassis.database.lease import HeldLease, boot_seconds
from services.chassis.errors import ServiceError
from services.chassis.jobs.attempt import Attempt, Function
from services.chassis.jobs.bell import QUEUE
from services.chassis.jobs.job import Job, JobState
from services.chassis.jobs.rules import error_of_deaths
from services.chassis.jobs.store import MAX_DEATHS, JobStore
from services.chassis.waiting import keep_going

_POLL_SECONDS = 2.0
_LATE_SECONDS = 1.0
_log = structlog.get_logger()


class JobRunner:
    """Runs the function of each claimed job as a task, at most `limit` of a kind at once.

    A function returns the job's result as JSON; an error of `services.chassis.errors` makes the job FAILED with its
    sentences; `JobPaused` makes it PAUSED. It must be able to go on from `ctx.saved`, since a job whose process died
    is begun again.
    """

    def __init__(
        self,
        store: JobStore,
        *,
        owner: str,
        lease_seconds: float = 30.0,
        is_only_owner: bool = False,
        max_deaths: int = MAX_DEATHS,
    ) -> None:
        self._store = store
        self._max_deaths = max_deaths
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._is_only_owner = is_only_owner
        self._functions: dict[str, Function] = {}
        self._cleanups: dict[str, Function] = {}
        self._limits: dict[str, int] = {}
        self._parts: dict[str, str] = {}
        self._attempts: dict[asyncio.Task[None], Attempt] = {}
        self._claiming: asyncio.Task[None] | None = None
        self._is_broken = False

    def register(
        self, kind: str, function: Function, *, limit: int = 1, cleanup: Function | None = None, part_of: str = ""
    ) -> None:
        """Let `function` do the jobs of `kind`, `limit` at once, before `start`.

        Args:
            kind: The kind, as given to `JobStore.create`.
            function: Does the work and returns the result.
            limit: How many of this kind run at once in this process, without those that await a person.
            cleanup: Called instead of `function` for a job whose process died while it was being cancelled, or that is
                given up since its processes died too often.
            part_of: The kind of job that such a job is a part of. Only a process that works on none of that kind takes
                it, while no whole job waits, and gives it a place of theirs. Nobody waits for parts by themselves, or
                is told of their ends.
        """
        self._functions[kind] = function
        self._limits[kind] = limit
        if part_of:
            self._parts[kind] = part_of
        if cleanup is not None:
            self._cleanups[kind] = cleanup

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of jobs that this process works on."""
        return tuple(self._functions)

    @property
    def parts(self) -> frozenset[str]:
        """The kinds whose jobs are parts of others."""
        return frozenset(self._parts)

    @property
    def is_claiming(self) -> bool:
        """Whether this process can take jobs, by its last attempt, or has no kind of them to take."""
        return not self._functions or (self._claiming is not None and not self._claiming.done() and not self._is_broken)

    @property
    def running(self) -> Mapping[str, Job]:
        """The jobs that this process works on now, by id."""
        return {attempt.context.job.job_id: attempt.context.job for attempt in self._attempts.values()}

    async def standing(self) -> tuple[dict[tuple[str, str], int], dict[str, float]]:
        """Return how many jobs there are per (kind, state), and for how many seconds the oldest of a kind is QUEUED.

        States that no job is in are there too: an alert sees a number rise only from one that was there.
        """
        none = dict.fromkeys(product(self.kinds, map(str, JobState)), 0)
        awaited = [kind for kind in self.kinds if kind not in self._parts]
        now, since = datetime.now(UTC), await self._store.queued_since(awaited)
        ages = {kind: (now - since.get(kind, now)).total_seconds() for kind in awaited}
        return none | await self._store.count(), ages

    async def start(self) -> None:
        """Begin to claim; a process that is the store's only one takes over at once what its predecessor left."""
        if not self._functions:
            return
        if self._is_only_owner:
            await self._store.take_over_all(list(self._functions))
        self._claiming = asyncio.create_task(keep_going("claim_jobs", self._claim_forever))

    async def wait_for_failure(self) -> None:
        """Wait for as long as jobs are claimed.

        Raises:
            Exception: What keeps them from being claimed, again and again.
        """
        if self._claiming is None:
            await asyncio.Event().wait()
        else:
            await asyncio.wait({self._claiming})
            self._claiming.result()

    async def stop(self, grace_seconds: float) -> None:
        """Claim no more, interrupt what runs, and leave it to the next process, which can claim it at once."""
        if self._claiming is not None:
            self._claiming.cancel()
            await asyncio.gather(self._claiming, return_exceptions=True)
            self._claiming = None
        for attempt in self._attempts.values():
            attempt.interrupt()
        if self._attempts:
            _, late = await asyncio.wait(list(self._attempts), timeout=grace_seconds)
            for task in late:
                _log.warning("job_left_behind", job_id=self._attempts[task].context.job.job_id)
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=_LATE_SECONDS)

    async def _claim_forever(self) -> None:
        with self._store.bell.listen(QUEUE) as listener:
            while True:
                try:
                    while await self._claim_one():
                        pass
                except Exception as error:
                    self._is_broken = True
                    if not isinstance(error, ServiceError):
                        raise
                    _log.warning("jobs_not_claimed", reason=str(error))
                else:
                    self._is_broken = False
                await listener.wait(_POLL_SECONDS)

    async def _claim_one(self) -> bool:
        running = self.running
        contexts = [attempt.context for attempt in self._attempts.values()]
        busy = Counter(self._place(context.job.kind) for context in contexts if not context.awaits_person)
        kinds = [kind for kind, limit in self._limits.items() if busy[self._place(kind)] < limit]
        working = [attempt.context.job for attempt in self._attempts.values() if not attempt.is_waiting]
        if any(job.num_barren_holds >= self._max_deaths for job in working):
            return False
        since = boot_seconds()
        claim = asyncio.create_task(self._claim(kinds, running=running, is_busy=bool(working)))
        try:
            job = await asyncio.shield(claim)
        except asyncio.CancelledError:
            await self._give_back(claim)
            raise
        if job is None:
            return False
        is_given_up = job.num_barren_holds > self._max_deaths
        attempt = Attempt(
            self._store,
            job,
            function=self._functions[job.kind],
            cleanup=self._cleanups.get(job.kind),
            lease=HeldLease(self._lease_seconds, since=since),
            last_error=error_of_deaths(job, self._max_deaths) if is_given_up else None,
        )
        task = asyncio.create_task(attempt.run(), name=f"job {job.job_id}")
        self._attempts[task] = attempt
        task.add_done_callback(self._ended)
        return True

    async def _claim(self, kinds: Sequence[str], *, running: Collection[str], is_busy: bool) -> Job | None:
        for are_parts in (False, True):
            wanted = [kind for kind in kinds if (kind in self._parts) is are_parts]
            job = await self._store.claim(
                wanted,
                self._owner,
                self._lease_seconds,
                running=running,
                is_busy=is_busy,
                max_deaths=self._max_deaths,
            )
            if job is not None:
                return job
        return None

    def _place(self, kind: str) -> str:
        return self._parts.get(kind, kind)

    async def _give_back(self, claim: asyncio.Task[Job | None]) -> None:
        """Release what was being claimed when this process began to end, so that nobody waits for its lease."""
        await asyncio.wait({claim}, timeout=_LATE_SECONDS)
        claim.cancel()
        (job,) = await asyncio.gather(claim, return_exceptions=True)
        if isinstance(job, Job):
            try:
                await self._store.release(job.job_id, job.epoch)
            except ServiceError as error:
                _log.warning("lease_not_released", job_id=job.job_id, reason=str(error))

    def _ended(self, task: asyncio.Task[None]) -> None:
        attempt = self._attempts.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("job_attempt_broke", job_id=attempt.context.job.job_id, exc_info=error)
        self._store.bell.ring(QUEUE)
