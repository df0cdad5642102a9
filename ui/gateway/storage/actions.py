"""Reading where all services keep their things, and removing what nobody needs any more."""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Annotated

from drillyard.storage.v1 import storage_service_pb2 as pb
from fastapi import Depends, Request

from services.chassis.errors import ServiceError, Unavailable
from services.chassis.machine.garbage import GarbageCollector
from ui.gateway.clients import Clients

# Many files may have to go.
_COLLECT_SECONDS = 600.0
# A folder is walked through; who waits for a page is not kept by a service that hangs.
_STORAGE_SECONDS = 5.0


def garbage_of(request: Request) -> GarbageCollector:
    """Return what removes the gateway's own garbage."""
    collector: GarbageCollector = request.app.state.garbage
    return collector


async def collect_garbage(
    clients: Clients, request: pb.CollectGarbageRequest, collector: Annotated[GarbageCollector, Depends(garbage_of)]
) -> pb.CollectGarbageResponse:
    """Let each service remove what nobody needs any more, or say what that is.

    Raises:
        Unavailable: A service is away, or what it keeps its things in; the others have done their part.
    """

    async def ask(name: str) -> Iterable[pb.Garbage]:
        try:
            return (await clients.storage[name].CollectGarbage(request, timeout=_COLLECT_SECONDS)).garbage
        except Unavailable as error:
            raise Unavailable(f"The service {name} did not do its part: {error.problem}", error.next_step) from error

    own = collector.collect(dry_run=request.dry_run)
    return pb.CollectGarbageResponse(garbage=chain(*await asyncio.gather(own, *map(ask, clients.storage))))


async def read_storage(
    clients: Clients, request: pb.GetStorageRequest, collector: Annotated[GarbageCollector, Depends(garbage_of)]
) -> pb.GetStorageResponse:
    """Return where each service keeps its things; one that does not say is left out."""
    answers = await storage_by_service(clients, collector)
    return pb.GetStorageResponse(services=chain(*(kept or () for kept in answers.values())))


async def storage_by_service(
    clients: Clients, collector: GarbageCollector
) -> dict[str, Sequence[pb.ServiceStorage] | None]:
    """Return where the gateway and each service keep their things; None for one that does not say."""

    async def own() -> Sequence[pb.ServiceStorage] | None:
        try:
            return await collector.places()
        except OSError:
            return None

    async def ask(name: str) -> Sequence[pb.ServiceStorage] | None:
        try:
            return (await clients.storage[name].GetStorage(pb.GetStorageRequest(), timeout=_STORAGE_SECONDS)).services
        except ServiceError:
            return None

    names = list(clients.storage)
    return dict(zip(["gateway", *names], await asyncio.gather(own(), *map(ask, names)), strict=True))
