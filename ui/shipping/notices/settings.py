"""The part of the page Settings that is about notices."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from drillyard.notice.v1 import notice_service_pb2 as pb
from starlette.datastructures import FormData

from services.chassis.errors import InvalidArgument, ServiceError
from ui.gateway.clients import Clients
from ui.shared.environment import render
from ui.shipping.notices.actions import (
    add_subscription,
    read_deliveries,
    read_subscriptions,
    remove_subscription,
    try_subscription,
)

# The page has more to show.
_SECONDS = 2.0
_EVENTS = (
    ("job", "every end"),
    ("job.failed", "failures"),
    ("job.stuck", "jobs that stand still"),
    ("goal", "goals"),
)


async def notices_section(clients: Clients, secret: str) -> str:
    """Return the section; `secret` is that of the address that was just added."""
    subscriptions, deliveries, problems = [], [], []
    try:
        async with asyncio.timeout(_SECONDS):
            told, done = await asyncio.gather(read_subscriptions(clients), read_deliveries(clients))
        subscriptions, deliveries = list(told.subscriptions), list(done.deliveries)
    except ServiceError as error:
        problems.append(str(error))
    except TimeoutError:
        problems.append("A service does not say whom it tells. Load the page again in a while.")
    return render(
        "notices/settings",
        secret=secret,
        problems=problems,
        subscriptions=subscriptions,
        deliveries=deliveries,
        addresses={item.subscription_id: item.address for item in subscriptions},
        events=_EVENTS,
    )


async def _add(clients: Clients, form: FormData) -> str:
    address = str(form.get("address", "")).strip()
    events = [name for name in map(str, form.getlist("event")) if name in dict(_EVENTS)]
    if not events:
        raise InvalidArgument("Nothing is chosen that the address is told of.", "Tick what it shall be told.")
    url = f"mailto:{address}" if "@" in address and "://" not in address and ":" not in address else address
    answer = await add_subscription(clients, pb.CreateSubscriptionRequest(url=url, events=sorted(events)))
    return answer.signing_secret


async def _remove(clients: Clients, form: FormData) -> str:
    await remove_subscription(clients, pb.DeleteSubscriptionRequest(subscription_id=str(form.get("subscription_id"))))
    return ""


async def _try(clients: Clients, form: FormData) -> str:
    await try_subscription(clients, pb.TestSubscriptionRequest(subscription_id=str(form.get("subscription_id"))))
    return ""


NOTICE_ACTIONS: Final[Mapping[str, Callable[[Clients, FormData], Awaitable[str]]]] = {
    "add-notice": _add,
    "remove-notice": _remove,
    "test-notice": _try,
}
