"""REST routes of what is kept: where, how much room it takes, and the removal of what nobody needs any more."""

from ui.gateway.storage.actions import collect_garbage, read_storage
from ui.shared.rpc import RpcRouter

router = RpcRouter(tags=["storage"])
router.rpc(
    "GET /storage",
    "storage.GetStorage",
    "Say where each service keeps its things, how much room they take by kind, and what its operator has decided by "
    "which environment variable; a service that is away is left out.",
    action=read_storage,
)
router.rpc(
    "POST /garbage-collections",
    "storage.CollectGarbage",
    "Remove what nobody needs any more, in all services, or with `dry_run` only say what that is. Each service does it "
    "by itself once a day.",
    action=collect_garbage,
)
