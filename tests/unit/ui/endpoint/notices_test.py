"""What services tell of their jobs, and to whom, put together by the gateway."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from drillyard.notice.v1 import notice_service_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp
from starlette.datastructures import FormData

from services.chassis.errors import InvalidArgument, NotFound, Unavailable
from ui.gateway.clients import Clients
from ui.shipping.notices import actions
from ui.shipping.notices.settings import NOTICE_ACTIONS, notices_section


class Service:
    """One service that tells of its jobs."""

    def __init__(self, name: str, seconds: int = 0, away: bool = False) -> None:
        self.name, self.seconds, self.away = name, seconds, away
        self.added: dict[str, pb.CreateSubscriptionRequest] = {}
        self.tried: list[str] = []

    def _check(self) -> None:
        if self.away:
            raise Unavailable("It is away.", "Wait.")

    def _of(self, request: pb.CreateSubscriptionRequest) -> pb.Subscription:
        return pb.Subscription(subscription_id=request.url, address=request.url, services=[self.name])

    async def ListNotices(self, request: pb.ListNoticesRequest) -> pb.ListNoticesResponse:
        self._check()
        notice = pb.Notice(event="job.failed", service=self.name, time=Timestamp(seconds=self.seconds))
        return pb.ListNoticesResponse(notices=[notice])

    async def ListSubscriptions(self, request: pb.ListSubscriptionsRequest) -> pb.ListSubscriptionsResponse:
        self._check()
        return pb.ListSubscriptionsResponse(subscriptions=map(self._of, self.added.values()))

    async def CreateSubscription(self, request: pb.CreateSubscriptionRequest) -> pb.CreateSubscriptionResponse:
        self._check()
        self.added[request.url] = request
        return pb.CreateSubscriptionResponse(subscription=self._of(request), signing_secret="whsec_x")

    async def DeleteSubscription(self, request: pb.DeleteSubscriptionRequest) -> pb.DeleteSubscriptionResponse:
        self._check()
        if self.added.pop(request.subscription_id, None) is None:
            raise NotFound("No such address.")
        return pb.DeleteSubscriptionResponse()

    async def TestSubscription(self, request: pb.TestSubscriptionRequest) -> pb.TestSubscriptionResponse:
        self.tried.append(request.subscription_id)
        return pb.TestSubscriptionResponse()

    async def ListDeliveries(self, request: pb.ListDeliveriesRequest) -> pb.ListDeliveriesResponse:
        delivery = pb.Delivery(event="job.failed", service=self.name, create_time=Timestamp(seconds=self.seconds))
        return pb.ListDeliveriesResponse(deliveries=[delivery])


def clients_of(*services: Service) -> Clients:
    return cast(Clients, SimpleNamespace(notice={service.name: service for service in services}))


async def test_an_address_is_told_by_all_services_and_greeted_by_one() -> None:
    registry, trainer = Service("registry"), Service("trainer")
    clients: Any = clients_of(registry, trainer)
    form = FormData([("address", " ann@example.org "), ("event", "job.failed"), ("event", "goal"), ("event", "x")])
    assert await NOTICE_ACTIONS["add-notice"](clients, form) == "whsec_x"
    (url,) = registry.added
    assert url == "mailto:ann@example.org" and list(registry.added[url].events) == ["goal", "job.failed"]
    assert (registry.added[url].is_silent, trainer.added[url].is_silent) == (False, True)
    section = await notices_section(clients, "")
    assert "registry, trainer" in section and 'aria-label="Remove mailto:ann@example.org"' in section
    await NOTICE_ACTIONS["test-notice"](clients, FormData(subscription_id=url))
    assert (registry.tried, trainer.tried) == ([url], [])
    del registry.added[url]
    await NOTICE_ACTIONS["remove-notice"](clients, FormData(subscription_id=url))
    with pytest.raises(NotFound):
        await NOTICE_ACTIONS["remove-notice"](clients, FormData(subscription_id=url))
    with pytest.raises(InvalidArgument):
        await NOTICE_ACTIONS["add-notice"](clients, FormData(address="https://hooks.example"))


async def test_a_service_that_is_away_is_named_and_tells_its_notices_later() -> None:
    clients = clients_of(Service("registry", seconds=5), Service("trainer", away=True), Service("feedback", seconds=9))
    notices = (await actions.read_notices(clients, pb.ListNoticesRequest())).notices
    assert [notice.service for notice in notices] == ["feedback", "registry"]
    deliveries = (await actions.read_deliveries(clients)).deliveries
    assert [delivery.service for delivery in deliveries] == ["feedback", "registry", "trainer"]
    with pytest.raises(Unavailable, match="trainer"):
        await actions.add_subscription(clients, pb.CreateSubscriptionRequest(url="https://hooks.example"))
    assert "trainer did not do its part" in await notices_section(clients, "")
    with pytest.raises(Unavailable):
        await actions.read_notices(clients_of(Service("trainer", away=True)), pb.ListNoticesRequest())
