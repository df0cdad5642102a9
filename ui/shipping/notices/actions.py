"""What each service tells of its jobs, and to whom, put together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import chain
from typing import TypeVar

from drillyard.notice.v1 import notice_service_pb2 as pb

from services.chassis.errors import NotFound, ServiceError, Unavailable
from ui.gateway.clients import Clients

T = TypeVar("T")
_MOST_DELIVERIES = 20
_MOST_NOTICES = 100
# Its greeting, and its notices for a test, stand for those of all.
_SPEAKER = "registry"


async def read_notices(clients: Clients, request: pb.ListNoticesRequest) -> pb.ListNoticesResponse:
    """Return what there was to tell since a time, newest first; a service that is away tells it later."""
    answers = await asyncio.gather(
        *(client.ListNotices(request) for client in clients.notice.values()), return_exceptions=True
    )
    failures = [answer for answer in answers if isinstance(answer, BaseException)]
    if failures and (len(failures) == len(answers) or not isinstance(failures[0], ServiceError)):
        raise failures[0]
    notices = chain.from_iterable(answer.notices for answer in answers if not isinstance(answer, BaseException))
    newest = sorted(notices, key=lambda notice: notice.time.ToNanoseconds(), reverse=True)
    return pb.ListNoticesResponse(notices=newest[:_MOST_NOTICES])


async def read_subscriptions(
    clients: Clients, request: pb.ListSubscriptionsRequest | None = None
) -> pb.ListSubscriptionsResponse:
    """Return who is told, each with the services that tell it."""
    answers = await _every(clients, lambda name: clients.notice[name].ListSubscriptions(request or _ALL))
    merged: dict[str, pb.Subscription] = {}
    for subscription in chain.from_iterable(answer.subscriptions for answer in answers):
        known = merged.setdefault(subscription.subscription_id, subscription)
        if known is not subscription:
            known.services.extend(subscription.services)
    return pb.ListSubscriptionsResponse(subscriptions=merged.values())


async def add_subscription(clients: Clients, request: pb.CreateSubscriptionRequest) -> pb.CreateSubscriptionResponse:
    """Tell an address of the jobs of every service.

    Raises:
        ServiceError: A service cannot tell it, or is away; once that is mended, the same call completes it.
    """

    def add(name: str) -> Awaitable[pb.CreateSubscriptionResponse]:
        one = pb.CreateSubscriptionRequest()
        one.CopyFrom(request)
        one.is_silent = name != _SPEAKER
        return clients.notice[name].CreateSubscription(one)

    answers = await _every(clients, add)
    answer = answers[0]
    for other in answers[1:]:
        answer.subscription.services.extend(other.subscription.services)
    return answer


async def remove_subscription(clients: Clients, request: pb.DeleteSubscriptionRequest) -> pb.DeleteSubscriptionResponse:
    """Tell an address no more.

    Raises:
        NotFound: No service was told by anybody to tell it.
    """

    async def problem(name: str) -> str:
        try:
            await clients.notice[name].DeleteSubscription(request)
        except NotFound as error:
            return error.problem
        return ""

    problems = await _every(clients, problem)
    if all(problems):
        raise NotFound(problems[0], "What the settings name, they alone can take out.")
    return pb.DeleteSubscriptionResponse()


async def try_subscription(clients: Clients, request: pb.TestSubscriptionRequest) -> pb.TestSubscriptionResponse:
    """Send a notice for a test by one of the services that tell the address.

    Raises:
        NotFound: None does.
    """
    subscriptions = (await read_subscriptions(clients)).subscriptions
    wanted = next((item for item in subscriptions if item.subscription_id == request.subscription_id), None)
    names = wanted.services if wanted else [_SPEAKER]
    return await clients.notice[names[0]].TestSubscription(request)


async def read_deliveries(
    clients: Clients, request: pb.ListDeliveriesRequest | None = None
) -> pb.ListDeliveriesResponse:
    """Return the newest deliveries of all services, newest first."""
    wanted = request or pb.ListDeliveriesRequest()
    answers = await _every(clients, lambda name: clients.notice[name].ListDeliveries(wanted))
    deliveries = chain.from_iterable(answer.deliveries for answer in answers)
    newest = sorted(deliveries, key=lambda delivery: delivery.create_time.ToNanoseconds(), reverse=True)
    return pb.ListDeliveriesResponse(deliveries=newest[:_MOST_DELIVERIES])


_ALL = pb.ListSubscriptionsRequest()


async def _every(clients: Clients, ask: Callable[[str], Awaitable[T]]) -> list[T]:
    """Ask every service; the others have done their part when one fails."""

    async def answer(name: str) -> T:
        try:
            return await ask(name)
        except Unavailable as error:
            raise Unavailable(f"The service {name} did not do its part: {error.problem}", error.next_step) from error

    answers = await asyncio.gather(*map(answer, clients.notice), return_exceptions=True)
    results: list[T] = []
    for result in answers:
        if isinstance(result, BaseException):
            raise result
        results.append(result)
    return results
