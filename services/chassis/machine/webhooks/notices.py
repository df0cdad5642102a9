"""Notices of a service's jobs: each becomes a durable delivery to each webhook that wants it, once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import httpx2
import structlog

from services.chassis.errors import AlreadyExists, ServiceError
from services.chassis.jobs import Job, JobRunner, Json, SqlJobStore
from services.chassis.jobs.bell import ENDED
from services.chassis.machine.garbage import Garbage
from services.chassis.machine.guarded_http import open_client
from services.chassis.machine.hosts import HostPolicy, HostVariables
from services.chassis.machine.secrets import Secrets
from services.chassis.machine.webhooks.delivery import AT_ONCE, DELIVERY_KIND, DeliveryJob, signing_key
from services.chassis.settings import ServiceSettings, Webhook

NoticesOf: TypeAlias = Callable[[Job], Sequence[tuple[str, Json]]]
_LOOK_SECONDS = 15.0
# What ended while no process ran is told so long afterwards.
_LOOK_BACK = timedelta(days=1)
# Rows of other replicas may become visible later than their times say.
_LATE = timedelta(minutes=1)
_KEPT = timedelta(days=7)
_MAX_RESULT_CHARACTERS = 4096
_ENABLED = "webhook.enabled"
_log = structlog.get_logger()


class Notices:
    """Looks at what has ended or stands still, and stores the deliveries.

    That a delivery's request id names job, event and webhook makes each of them one, whoever looks, and how often.

    Args:
        service: Its name, which stands in each notice.
        store: The jobs, and the deliveries among them.
        webhooks: By the digest of their address.
        stuck: A job that runs and tells nothing for so long stands still.
        more: What a job of a kind tells besides, when it has ended.
    """

    def __init__(
        self,
        service: str,
        store: SqlJobStore,
        webhooks: Mapping[str, Webhook],
        *,
        stuck: timedelta,
        more: Mapping[str, NoticesOf],
    ) -> None:
        self._service, self._store, self._webhooks = service, store, webhooks
        self._stuck, self._more = stuck, more
        self._begins: dict[str, datetime] = {}
        self._since = datetime.now(UTC) - _LOOK_BACK
        self._told: dict[str, datetime] = {}

    async def keep_telling(self) -> None:
        """Tell for as long as the service runs; a database that is away is looked into later."""
        with self._store.bell.listen(ENDED) as listener:
            while True:
                try:
                    if len(self._begins) < len(self._webhooks):
                        await self.begin()
                    await self.tell()
                except ServiceError as error:
                    _log.warning("webhooks_not_told", reason=str(error))
                await listener.wait(_LOOK_SECONDS)

    async def begin(self) -> None:
        """Greet each webhook once; what ended before that is not told."""
        for key in self._webhooks:
            message = {"type": _ENABLED, "timestamp": "", "data": {"service": self._service}}
            spec = {"webhook": key, "message": message}
            self._begins[key] = (await self._store.create(DELIVERY_KIND, f"{key}/enabled", spec)).create_time

    async def tell(self) -> None:
        """Store the deliveries that are due."""
        for job in await self._store.ended_since(self._since, DELIVERY_KIND):
            assert job.end_time is not None
            if job.job_id not in self._told:
                for event, data in self._ended(job):
                    await self._deliver(job, event, job.end_time, data)
                self._told[job.job_id] = job.end_time
            self._since = max(self._since, job.end_time - _LATE)
        self._told = {job_id: time for job_id, time in self._told.items() if time >= self._since}
        for job in await self._store.quiet_since(datetime.now(UTC) - self._stuck, DELIVERY_KIND):
            await self._deliver(job, "job.stuck", job.update_time, {"progress": job.progress}, f"/{job.last_sequence}")

    def _ended(self, job: Job) -> list[tuple[str, Json]]:
        error = {"problem": job.error.problem, "next_step": job.error.next_step} if job.error else {}
        is_short = len(str(job.result or "")) <= _MAX_RESULT_CHARACTERS
        facts = {"result": job.result} if job.result and is_short else {}
        more = self._more[job.kind](job) if job.kind in self._more else ()
        return [(f"job.{job.state.lower()}", {**facts, **error}), *more]

    async def _deliver(self, job: Job, event: str, time: datetime, data: Json, version: str = "") -> None:
        about = {"service": self._service, "job_id": job.job_id, "kind": job.kind, "state": str(job.state)}
        message = {"type": event, "timestamp": time.isoformat(), "data": {**about, **data}}
        for key, webhook in self._webhooks.items():
            if time < self._begins[key] or not webhook.wants(event, job.kind):
                continue
            try:
                spec = {"webhook": key, "message": message}
                await self._store.create(DELIVERY_KIND, f"{key}/{job.job_id}/{event}{version}", spec)
            except AlreadyExists:
                # An earlier release told it in other words.
                continue


async def old_deliveries(store: SqlJobStore) -> AsyncIterator[Garbage]:
    """Yield the deliveries that have ended a week ago; greetings stay, since they say when a webhook began."""
    before = datetime.now(UTC) - _KEPT
    for job in await store.ended_since(datetime.fromtimestamp(0, UTC), kind=DELIVERY_KIND):
        if job.end_time and job.end_time < before and job.spec["message"]["type"] != _ENABLED:

            async def remove(job_id: str = job.job_id) -> None:
                await store.delete(job_id)

            yield Garbage("delivery", job.job_id, 0, "its notice was delivered, or given up, a week ago", remove)


def wired_notices(
    service: str, settings: ServiceSettings, store: SqlJobStore, runner: JobRunner, more: Mapping[str, NoticesOf]
) -> tuple[Notices, httpx2.AsyncClient]:
    """Let the runner deliver to the webhooks of the settings; return what stores the deliveries, and the client.

    Raises:
        ServiceError: One of them may not be told, or its secret is not there or has the wrong form.
    """
    prefix = settings.env_prefix
    variables = HostVariables(f"{prefix}WEBHOOK_HOSTS", f"{prefix}WEBHOOK_HOSTS")
    policy = HostPolicy(settings.webhook_hosts, Secrets(prefix, settings.secrets_dir), variables=variables)
    for webhook in settings.webhooks:
        policy.check_host(webhook.host)
        signing_key(policy.secret_for(webhook.secret, webhook.host, field="secret", is_chosen=True))
    client = open_client(policy.trusted_hosts, uses_proxies=True)
    webhooks = {webhook.key: webhook for webhook in settings.webhooks}
    runner.register(DELIVERY_KIND, DeliveryJob(webhooks, policy, client).run, limit=AT_ONCE)
    stuck = timedelta(minutes=settings.stuck_minutes)
    return Notices(service, store, webhooks, stuck=stuck, more=more), client
