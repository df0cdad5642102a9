"""The parts of the page Settings that are about endpoints and about storage."""

import asyncio
from collections.abc import Mapping
from typing import Final

from drillyard.registry.v1.deployment_pb2 import Deployment
from drillyard.storage.v1 import storage_service_pb2 as pb
from markupsafe import Markup

from services.chassis.errors import ServiceError
from services.chassis.machine.garbage import GarbageCollector
from ui.gateway.clients import Clients
from ui.gateway.storage.actions import collect_garbage, storage_by_service
from ui.gateway.storage.sums import garbage_sums
from ui.shared.documents import document
from ui.shared.environment import render
from ui.shipping.deployments.actions import list_deployments

GARBAGE_ACTIONS: Final[Mapping[str, bool]] = {"look-for-garbage": True, "remove-garbage": False}
"""The forms' actions, with whether they only look."""
# The page has more to show.
_SECONDS = 2.0
_HOSTS = ("hosts", "secret", "namespace")


async def storage_sections(clients: Clients, collector: GarbageCollector, action: str) -> Markup:
    """Return both parts; an action of `GARBAGE_ACTIONS` is done first, and what it came to is shown."""
    problem, garbage = "", None
    try:
        if action in GARBAGE_ACTIONS:
            request = pb.CollectGarbageRequest(dry_run=GARBAGE_ACTIONS[action])
            garbage = garbage_sums(document(await collect_garbage(clients, request, collector))["garbage"])
    except ServiceError as error:
        problem = str(error)
    deployments, kept = await asyncio.gather(_deployments(clients), storage_by_service(clients, collector))
    services = [one for said in kept.values() for one in said or ()]
    settings = [(one.service, setting) for one in services for setting in one.settings]
    parts = render(
        "storage/settings",
        services=services,
        silent=[name for name, said in kept.items() if said is None],
        deployments=deployments,
        hosts=[(name, setting) for name, setting in settings if _is_of_hosts(setting)],
        places=[(name, setting) for name, setting in settings if not _is_of_hosts(setting)],
        garbage=garbage,
        is_removed=action == "remove-garbage",
        problem=problem,
    )
    return Markup(parts)


async def _deployments(clients: Clients) -> list[Deployment] | None:
    """Return what is served; None while the registry does not say."""
    try:
        return await asyncio.wait_for(list_deployments(clients), _SECONDS)
    except (ServiceError, TimeoutError):
        return None


def _is_of_hosts(setting: pb.OperatorSetting) -> bool:
    return any(word in setting.variable.lower() for word in _HOSTS)
