"""The RPCs about who is told, which every service answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import grpc.aio
from drillyard.notice.v1 import notice_service_pb2 as pb
from drillyard.notice.v1 import notice_service_pb2_grpc as rpc
from pydantic import ValidationError

from services.chassis.errors import InvalidArgument
from services.chassis.jobs import Job
from services.chassis.machine.webhooks.notices import Happening, Notices
from services.chassis.machine.webhooks.subscriptions import Subscription, Subscriptions
from services.chassis.settings import Webhook
from services.chassis.wire import timestamp

SERVICE_NAME = "drillyard.notice.v1.NoticeService"
_MOST_DELIVERIES = 20
_Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class NoticeServicer(rpc.NoticeServiceServicer):
    """Answers for one service; `signing_secret` is what a webhook that was added is signed by."""

    def __init__(
        self, service: str, notices: Notices, subscriptions: Subscriptions, signing_secret: Callable[[Webhook], str]
    ) -> None:
        self._service, self._notices, self._subscriptions = service, notices, subscriptions
        self._signing_secret = signing_secret

    async def ListNotices(self, request: pb.ListNoticesRequest, context: _Context) -> pb.ListNoticesResponse:
        """Return what there was to tell since a time."""
        happenings = await self._notices.since(_moment(request.since_seconds))
        return pb.ListNoticesResponse(notices=[self._notice(happening) for happening in happenings])

    async def ListSubscriptions(
        self, request: pb.ListSubscriptionsRequest, context: _Context
    ) -> pb.ListSubscriptionsResponse:
        """Return who is told."""
        subscriptions = await self._subscriptions.all()
        return pb.ListSubscriptionsResponse(subscriptions=map(self._subscription, subscriptions.values()))

    async def CreateSubscription(
        self, request: pb.CreateSubscriptionRequest, context: _Context
    ) -> pb.CreateSubscriptionResponse:
        """Tell an address from now on."""
        webhook = _webhook(request)
        subscription = await self._subscriptions.add(webhook, is_silent=request.is_silent)
        secret = "" if webhook.mail_address else self._signing_secret(webhook)
        return pb.CreateSubscriptionResponse(subscription=self._subscription(subscription), signing_secret=secret)

    async def DeleteSubscription(
        self, request: pb.DeleteSubscriptionRequest, context: _Context
    ) -> pb.DeleteSubscriptionResponse:
        """Tell an address no more."""
        await self._subscriptions.remove(request.subscription_id)
        return pb.DeleteSubscriptionResponse()

    async def TestSubscription(
        self, request: pb.TestSubscriptionRequest, context: _Context
    ) -> pb.TestSubscriptionResponse:
        """Send a notice for a test."""
        await self._subscriptions.test(request.subscription_id)
        return pb.TestSubscriptionResponse()

    async def ListDeliveries(self, request: pb.ListDeliveriesRequest, context: _Context) -> pb.ListDeliveriesResponse:
        """Return the newest deliveries."""
        jobs = await self._subscriptions.deliveries(_MOST_DELIVERIES)
        return pb.ListDeliveriesResponse(deliveries=map(_delivery, jobs))

    def _notice(self, happening: Happening) -> pb.Notice:
        job, facts = happening.job, happening.facts
        sentence = facts.get("sentence") or facts.get("problem") or facts.get("progress", {}).get("message", "")
        return pb.Notice(
            event=happening.event,
            service=self._service,
            job_id=job.job_id,
            kind=job.kind,
            sentence=sentence,
            time=timestamp(happening.time),
        )

    def _subscription(self, subscription: Subscription) -> pb.Subscription:
        webhook = subscription.webhook
        parts = urlsplit(webhook.url)
        return pb.Subscription(
            subscription_id=webhook.key,
            # Path, query and the name of a user may hold a token.
            address=webhook.url
            if webhook.mail_address
            else f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}",
            events=webhook.events,
            kinds=webhook.kinds,
            is_of_settings=subscription.is_of_settings,
            create_time=timestamp(subscription.begin),
            services=[self._service],
        )


def _moment(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OSError, OverflowError):
        raise InvalidArgument("The time is none.", "Give seconds since 1970.", field="since_seconds") from None


def _webhook(request: pb.CreateSubscriptionRequest) -> Webhook:
    try:
        return Webhook(url=request.url, events=tuple(request.events), kinds=tuple(request.kinds))
    except ValidationError as error:
        sentence = error.errors(include_input=False, include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise InvalidArgument(
            "This address cannot be told.", f"{sentence[:1].upper()}{sentence[1:]}.", field="url"
        ) from None


def _delivery(job: Job) -> pb.Delivery:
    message = job.spec["message"]
    progress = "" if job.state.is_final else str(job.progress.get("message", ""))
    return pb.Delivery(
        delivery_id=job.job_id,
        subscription_id=job.spec["webhook"],
        event=message["type"],
        service=message["data"]["service"],
        job_id=message["data"].get("job_id", ""),
        state=str(job.state),
        num_tries=(job.result or job.saved or {}).get("num_tries", 0),
        problem=job.error.problem if job.error else progress,
        create_time=timestamp(job.create_time),
    )
