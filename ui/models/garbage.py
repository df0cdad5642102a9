"""Model versions that nothing names: which may go, and their removal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated

from drillyard.registry.v1 import deployment_pb2, model_pb2
from drillyard.storage.v1.storage_service_pb2 import CollectGarbageRequest, CollectGarbageResponse, Garbage
from fastapi import Query

from services.chassis.errors import FailedPrecondition, NotFound
from services.chassis.machine.garbage import days_ago
from ui.gateway.clients import Clients, every
from ui.shared.dependants import ids_in_use

_EVERYTHING = 10_000_000
_EXPORTED, _IMPORTED = "export:", "import:"


async def collect_versions(
    clients: Clients,
    request: CollectGarbageRequest,
    days: Annotated[float, Query(ge=0, description="Younger versions stay.")] = 7.0,
) -> CollectGarbageResponse:
    """Delete the versions that nothing names, newest first, or only say which they are.

    What was imported stays, and of what was trained the newest version of each model; a form goes, since it can be
    exported again.
    """
    list_versions = clients.registry.ListModelVersions
    versions = await every(list_versions, model_pb2.ListModelVersionsRequest(), "model_versions", _EVERYTHING)
    named = await ids_in_use(clients) | await _served(clients)
    before = days_ago(days)
    garbage = []
    for version, reason in needless(versions, named, before):
        if request.dry_run or await _is_deleted(clients, version.model_version_id):
            garbage.append(
                Garbage(
                    service="registry",
                    kind="model version",
                    name=version.model_version_id,
                    size_bytes=version.artifact.size_bytes,
                    reason=reason,
                )
            )
    return CollectGarbageResponse(garbage=garbage)


def needless(
    versions: Sequence[model_pb2.ModelVersion], named: set[str], before: datetime
) -> Iterator[tuple[model_pb2.ModelVersion, str]]:
    """Yield the versions that may go, each behind all that is made of it, and why.

    Args:
        versions: All of them, newest first.
        named: Ids that something refers to.
        before: Younger versions stay.
    """
    kept, newest = set(named), set[str]()
    for version in versions:
        is_newest = version.model_id not in newest
        newest.add(version.model_id)
        is_form = version.produced_by.startswith(_EXPORTED)
        is_bound = version.model_version_id in kept or version.produced_by.startswith(_IMPORTED)
        if is_bound or version.create_time.ToDatetime(UTC) > before or (is_newest and not is_form):
            kept.add(version.base_model_version_id)
            continue
        reason = "a form that can be exported again" if is_form else "an older version"
        yield version, f"{reason}, which nothing names"


async def _served(clients: Clients) -> set[str]:
    """Return the versions that deployments serve and aliases point at, now, as shadows or after a rollback."""
    registry = clients.registry
    served: set[str] = set()
    aliases = await every(registry.ListAliases, deployment_pb2.ListAliasesRequest(), "aliases", _EVERYTHING)
    for alias in aliases:
        served |= {alias.model_version_id, alias.shadow_model_version_id, alias.previous_model_version_id}
    request = deployment_pb2.ListDeploymentsRequest()
    deployments = await every(registry.ListDeployments, request, "deployments", _EVERYTHING)
    return served | {deployment.spec.model_version_id for deployment in deployments}


async def _is_deleted(clients: Clients, model_version_id: str) -> bool:
    """Delete a version, unless something came to need it meanwhile."""
    request = model_pb2.DeleteModelVersionRequest(model_version_id=model_version_id)
    try:
        await clients.registry.DeleteModelVersion(request)
    except (FailedPrecondition, NotFound):
        return False
    return True
