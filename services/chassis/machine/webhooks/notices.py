"""Notices of a service's jobs: each becomes a durable delivery to each address that wants it, once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import structlog

from services.chassis.errors import AlreadyExists, ServiceError
from services.chassis.jobs import Job, Json, SqlJobStore
from services.chassis.jobs.bell import ENDED
from services.chassis.machine.webhooks.subscriptions import (
    DELIVERY_KIND,
    SUBSCRIPTION_KIND,
    Subscription,
    Subscriptions,
)

NoticesOf: TypeAlias = Callable[[Job], Sequence[tuple[str, Json]]]
_LOOK_SECONDS = 15.0
# What ended while no process ran is told so long afterwards.
_LOOK_BACK = timedelta(days=1)
# Rows of other replicas may become visible later than their times say.
_LATE = timedelta(minutes=1)
_MAX_RESULT_CHARACTERS = 4096
MOST_HAPPENINGS = 100
_log = structlog.get_logger()


@dataclass(frozen=True)
class Happening:
    """Something to tell of a job; `version` tells apart what happens to one job again and again."""

    job: Job
    event: str
    time: datetime
    facts: Json
    version: str = ""


class Notices:
    """Looks at what has ended or stands still, and stores the deliveries.

    That a delivery's request id names job, event and webhook makes each of them one, whoever looks, and how often.

    Args:
        service: Its name, which stands in each notice.
        store: The jobs, and the deliveries among them.
        subscriptions: Who is told.
        stuck: A job that runs and tells nothing for so long stands still.
        more: What a job of a kind tells besides, when it has ended.
        parts: Kinds whose jobs are parts of others, of which nobody is told.
    """

    def __init__(
        self,
        service: str,
        store: SqlJobStore,
        subscriptions: Subscriptions,
        *,
        stuck: timedelta,
        more: Mapping[str, NoticesOf],
        parts: Collection[str] = (),
    ) -> None:
        self._service, self._store, self._subscriptions = service, store, subscriptions
        self._stuck, self._more = stuck, more
        self._untold = {SUBSCRIPTION_KIND, *parts}
        self._since = datetime.now(UTC) - _LOOK_BACK
        self._told: dict[str, datetime] = {}

    async def keep_telling(self) -> None:
        """Tell for as long as the service runs; a database that is away is looked into later."""
        with self._store.bell.listen(ENDED) as listener:
            while True:
                try:
                    await self.tell()
                except ServiceError as error:
                    _log.warning("webhooks_not_told", reason=str(error))
                await listener.wait(_LOOK_SECONDS)

    async def tell(self) -> None:
        """Store the deliveries that are due."""
        subscriptions = await self._subscriptions.all()
        if not subscriptions:
            # An address that is added later is not told of what ended long before.
            self._since = max(self._since, datetime.now(UTC) - _LATE)
            return
        for job in await self._ended_since(self._since):
            assert job.end_time is not None
            if job.job_id not in self._told:
                for happening in self._end_of(job):
                    await self._deliver(happening, subscriptions)
                self._told[job.job_id] = job.end_time
            self._since = max(self._since, job.end_time - _LATE)
        self._told = {job_id: time for job_id, time in self._told.items() if time >= self._since}
        for happening in await self._still():
            await self._deliver(happening, subscriptions)

    async def since(self, time: datetime) -> list[Happening]:
        """Return what there was to tell since a time, at most a day back, the newest `MOST_HAPPENINGS` of it first."""
        ends = await self._ended_since(max(time, datetime.now(UTC) - _LOOK_BACK))
        happenings = [happening for job in ends for happening in self._end_of(job)]
        happenings += [still for still in await self._still() if still.time + self._stuck >= time]
        return sorted(happenings, key=lambda happening: happening.time, reverse=True)[:MOST_HAPPENINGS]

    async def _ended_since(self, time: datetime) -> list[Job]:
        jobs = await self._store.ended_since(time, DELIVERY_KIND)
        return [job for job in jobs if job.kind not in self._untold]

    async def _still(self) -> list[Happening]:
        jobs = await self._store.quiet_since(datetime.now(UTC) - self._stuck, DELIVERY_KIND)
        return [
            Happening(job, "job.stuck", job.update_time, {"progress": job.progress}, f"/{job.last_sequence}")
            for job in jobs
            if job.kind not in self._untold
        ]

    def _end_of(self, job: Job) -> list[Happening]:
        assert job.end_time is not None
        error = {"problem": job.error.problem, "next_step": job.error.next_step} if job.error else {}
        is_short = len(str(job.result or "")) <= _MAX_RESULT_CHARACTERS
        facts = {"result": job.result} if job.result and is_short else {}
        more = self._more[job.kind](job) if job.kind in self._more else ()
        end = Happening(job, f"job.{job.state.lower()}", job.end_time, {**facts, **error})
        return [end, *(Happening(job, event, job.end_time, told) for event, told in more)]

    async def _deliver(self, happening: Happening, subscriptions: Mapping[str, Subscription]) -> None:
        job, event, time = happening.job, happening.event, happening.time
        about = {"service": self._service, "job_id": job.job_id, "kind": job.kind, "state": str(job.state)}
        message = {"type": event, "timestamp": time.isoformat(), "data": {**about, **happening.facts}}
        for key, subscription in subscriptions.items():
            if time < subscription.begin or not subscription.webhook.wants(event, job.kind):
                continue
            try:
                spec = {"webhook": key, "message": message}
                request_id = f"{key}/{job.job_id}/{event}{happening.version}"
                await self._store.create(DELIVERY_KIND, request_id, spec)
            except AlreadyExists:
                # An earlier release told it in other words.
                continue
