"""Who is told: the addresses of the service's settings, and those that people add, kept as the jobs that greet them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from services.chassis.errors import AlreadyExists, NotFound, ResourceExhausted
from services.chassis.jobs import Job, JobState, Json, SqlJobStore
from services.chassis.settings import Webhook

AT_ONCE: Final = 32
DELIVERY_KIND: Final = "webhook_delivery"
SUBSCRIPTION_KIND: Final = "webhook"
ENABLED: Final = "webhook.enabled"
_TEST = "webhook.test"
_MOST = 100
_ALL = 1000
_REMOVED = (JobState.CANCELLING, JobState.CANCELLED)


@dataclass(frozen=True)
class Subscription:
    """An address that is told of what ends after `begin`; `is_of_settings` when the settings alone can take it out."""

    webhook: Webhook
    begin: datetime
    is_of_settings: bool = False


class Subscriptions:
    """The addresses that a service tells.

    Args:
        service: Its name, which stands in greetings.
        store: Keeps those that people add, so that every replica tells them.
        webhooks: Those of the settings.
        check: Raises a ServiceError that says why an address that a person adds cannot be told.
    """

    def __init__(
        self, service: str, store: SqlJobStore, webhooks: Iterable[Webhook], check: Callable[[Webhook], None]
    ) -> None:
        self._service, self._store, self._check = service, store, check
        self._of_settings = {webhook.key: webhook for webhook in webhooks}
        self._begins: dict[str, datetime] = {}

    async def all(self) -> dict[str, Subscription]:
        """Return all by the digest of their address, oldest first; those of the settings are greeted once."""
        for key in self._of_settings.keys() - self._begins.keys():
            greeting = await self._store.create(DELIVERY_KIND, f"{key}/enabled", self._spec(key, ENABLED))
            self._begins[key] = greeting.create_time
        added = [(Webhook(**job.spec["added"]), job.create_time) for job in await self._added()]
        subscriptions = {webhook.key: Subscription(webhook, time) for webhook, time in added}
        return subscriptions | {
            key: Subscription(webhook, self._begins[key], is_of_settings=True)
            for key, webhook in self._of_settings.items()
        }

    async def webhook(self, key: str) -> Webhook | None:
        """Return the webhook whose address has a digest; None: it is told no more.

        Raises:
            ServiceError: It was added, and cannot be told any more.
        """
        if key in self._of_settings:
            return self._of_settings[key]
        for job in await self._added():
            if job.spec["webhook"] == key:
                webhook = Webhook(**job.spec["added"])
                self._check(webhook)
                return webhook
        return None

    async def add(self, webhook: Webhook, *, is_silent: bool = False) -> Subscription:
        """Tell an address from now on, and greet it unless that `is_silent`.

        Raises:
            AlreadyExists: It is told other things.
            ResourceExhausted: There are too many.
            ServiceError: It cannot be told.
        """
        self._check(webhook)
        subscriptions = await self.all()
        existing = subscriptions.get(webhook.key)
        if existing is not None and existing.webhook == webhook:
            return existing
        if existing is not None:
            raise AlreadyExists("This address is told other things.", "Remove it, and then add it as it shall be.")
        if len(subscriptions) >= _MOST:
            raise ResourceExhausted(f"{_MOST} addresses are told already.", "Remove one first.")
        spec = {
            **self._spec(webhook.key, ENABLED),
            "added": webhook.model_dump(mode="json"),
            "is_silent": is_silent,
        }
        return Subscription(webhook, (await self._store.create(SUBSCRIPTION_KIND, "", spec)).create_time)

    async def remove(self, key: str) -> None:
        """Tell an address no more; what is on its way there is given up at its next try.

        Raises:
            NotFound: It is not told, or the settings name it.
        """
        jobs = [job for job in await self._added() if job.spec["webhook"] == key]
        if not jobs:
            raise NotFound(f"No address {key[:40]!r} was added.", "What the settings name, they alone can take out.")
        for job in jobs:
            if job.state.is_final:
                await self._store.delete(job.job_id)
            else:
                await self._store.request_cancel(job.job_id)

    async def test(self, key: str) -> None:
        """Send a notice that says that it is one for a test.

        Raises:
            NotFound: The address is not told.
        """
        if key not in await self.all():
            raise NotFound(f"No address {key[:40]!r} is told.", "List them.")
        await self._store.create(DELIVERY_KIND, "", self._spec(key, _TEST))

    async def deliveries(self, limit: int) -> list[Job]:
        """Return the newest deliveries, greetings among them, newest first."""
        sent, _ = await self._store.list(DELIVERY_KIND, limit)
        greetings = [job for job in await self._added() if not job.spec["is_silent"]]
        return sorted([*sent, *greetings], key=lambda job: job.create_time, reverse=True)[:limit]

    async def _added(self) -> list[Job]:
        """Return the jobs that keep what people have added, oldest first."""
        jobs, _ = await self._store.list(SUBSCRIPTION_KIND, _ALL)
        return [job for job in reversed(jobs) if job.state not in _REMOVED]

    def _spec(self, key: str, event: str) -> Json:
        # The time of a greeting of the settings is left out, since the same one is made at each start.
        time = "" if event == ENABLED else datetime.now(UTC).isoformat()
        return {"webhook": key, "message": {"type": event, "timestamp": time, "data": {"service": self._service}}}
