"""The notices of a service put together: who is told, what is sent by, and the RPCs about both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from services.chassis.jobs import JobContext, JobRunner, Json, SqlJobStore
from services.chassis.machine.garbage import Garbage
from services.chassis.machine.hosts import HostPolicy, HostVariables
from services.chassis.machine.parent import ServiceToken
from services.chassis.machine.secrets import Secrets
from services.chassis.machine.webhooks.notices import Notices, NoticesOf
from services.chassis.machine.webhooks.servicer import NoticeServicer
from services.chassis.machine.webhooks.signing import Keys, no_mail_server, signing_key
from services.chassis.machine.webhooks.subscriptions import (
    AT_ONCE,
    DELIVERY_KIND,
    ENABLED,
    SUBSCRIPTION_KIND,
    Subscriptions,
)
from services.chassis.settings import ServiceSettings, Webhook

if TYPE_CHECKING:
    import httpx2

    from services.chassis.machine.webhooks.delivery import DeliveryJob

_KEPT = timedelta(days=7)


@dataclass
class Sending:
    """Brings the notices of a service to their addresses; what that takes is loaded for the first of them."""

    settings: ServiceSettings
    keys: Keys
    _client: httpx2.AsyncClient | None = None
    _job: DeliveryJob | None = None

    def check(self, webhook: Webhook) -> None:
        """Raise a ServiceError that says why an address cannot be told."""
        self.keys.policy.check_host(webhook.host)
        if not webhook.mail_address:
            signing_key(self.keys.secret_of(webhook))
        elif not self.settings.smtp_url or not self.settings.mail_from:
            raise no_mail_server()

    def check_added(self, webhook: Webhook) -> None:
        """Raise a ServiceError as `check`, or if an address that a person adds is inward and no operator names it."""
        from services.chassis.machine.guarded_http import is_inward

        self.check(webhook)
        policy, host = self.keys.policy, webhook.host
        if not webhook.mail_address and host not in policy.trusted_hosts and is_inward(host):
            raise policy.inward(host)

    def job(self, webhook_of: Callable[[str], Awaitable[Webhook | None]]) -> Callable[[JobContext], Awaitable[Json]]:
        """Return what does a delivery."""

        async def run(context: JobContext) -> Json:
            if context.job.spec.get("is_silent"):
                return {"num_tries": 0}
            if self._job is None:
                self._job = self._made(webhook_of)
            return await self._job.run(context)

        return run

    async def close(self) -> None:
        """Close what was opened for sending."""
        if self._client is not None:
            await self._client.aclose()

    def _made(self, webhook_of: Callable[[str], Awaitable[Webhook | None]]) -> DeliveryJob:
        from services.chassis.machine.guarded_http import open_client
        from services.chassis.machine.webhooks.delivery import DeliveryJob
        from services.chassis.machine.webhooks.mailing import MailServer

        settings, policy = self.settings, self.keys.policy
        host = urlsplit(settings.smtp_url).hostname or ""

        def password() -> str:
            return policy.secret_for(settings.smtp_secret, host, field="smtp_secret", is_chosen=True)

        mail = MailServer(settings.smtp_url, settings.mail_from, password) if settings.smtp_url else None
        self._client = open_client(policy.trusted_hosts, uses_proxies=True)
        return DeliveryJob(webhook_of, self.keys, self._client, mail)


@dataclass(frozen=True)
class WiredNotices:
    """The parts that run beside a service, and the RPCs about them."""

    notices: Notices
    servicer: NoticeServicer
    sending: Sending


def wired_notices(
    service: str,
    settings: ServiceSettings,
    jobs: tuple[SqlJobStore, JobRunner],
    more: Mapping[str, NoticesOf],
    *,
    token: ServiceToken | None = None,
) -> WiredNotices:
    """Let the runner deliver to the addresses of the settings, and to those that people add.

    Raises:
        ServiceError: One of the settings may not be told, or its secret is not there or has the wrong form.
    """
    prefix, (store, runner) = settings.env_prefix, jobs
    variables = HostVariables(f"{prefix}WEBHOOK_HOSTS", f"{prefix}WEBHOOK_HOSTS")
    policy = HostPolicy(settings.webhook_hosts, Secrets(prefix, settings.secrets_dir), variables=variables)
    sending = Sending(settings, Keys(policy, token))
    for webhook in settings.webhooks:
        sending.check(webhook)
    subscriptions = Subscriptions(service, store, settings.webhooks, sending.check_added)
    for kind in (DELIVERY_KIND, SUBSCRIPTION_KIND):
        runner.register(kind, sending.job(subscriptions.webhook), limit=AT_ONCE)
    stuck = timedelta(minutes=settings.stuck_minutes)
    notices = Notices(service, store, subscriptions, stuck=stuck, more=more, parts=runner.parts)
    servicer = NoticeServicer(service, notices, subscriptions, sending.keys.secret_of)
    return WiredNotices(notices, servicer, sending)


async def old_deliveries(store: SqlJobStore) -> AsyncIterator[Garbage]:
    """Yield the deliveries that have ended a week ago; greetings stay, since they say when a webhook began."""
    before = datetime.now(UTC) - _KEPT
    for job in await store.ended_since(datetime.fromtimestamp(0, UTC), kind=DELIVERY_KIND):
        if job.end_time and job.end_time < before and job.spec["message"]["type"] != ENABLED:

            async def remove(job_id: str = job.job_id) -> None:
                await store.delete(job_id)

            yield Garbage("delivery", job.job_id, 0, "its notice was delivered, or given up, a week ago", remove)
