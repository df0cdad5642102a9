"""REST routes of notices, and of who is told."""

from __future__ import annotations

from ui.shared.rpc import RpcRouter
from ui.shipping.notices import actions

router = RpcRouter(tags=["notices"])
router.rpc(
    "GET /notices",
    "notice.ListNotices",
    "List what there was to tell since a time: jobs that ended or stand still, goals that were missed.",
    action=actions.read_notices,
)
router.rpc(
    "GET /subscriptions",
    "notice.ListSubscriptions",
    "List who is told, by webhook or by mail, and by which services.",
    action=actions.read_subscriptions,
)
router.rpc(
    "POST /subscriptions",
    "notice.CreateSubscription",
    "Tell an address of the jobs of all services from now on. The answer has the secret by which a receiver verifies "
    "what is posted; the same call tells it again.",
    action=actions.add_subscription,
)
router.rpc(
    "DELETE /subscriptions/{subscription_id}",
    "notice.DeleteSubscription",
    "Tell an address no more.",
    action=actions.remove_subscription,
)
router.rpc(
    "POST /subscriptions/{subscription_id}/test",
    "notice.TestSubscription",
    "Send a notice of the type `webhook.test` to an address.",
    action=actions.try_subscription,
)
router.rpc(
    "GET /deliveries",
    "notice.ListDeliveries",
    "List the newest notices that were, or are being, sent, with how often each was tried.",
    action=actions.read_deliveries,
)
