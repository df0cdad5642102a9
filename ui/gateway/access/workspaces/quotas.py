"""Keeps the quotas of workspaces, where all calls of the gateway to its services come together."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from drillyard.usage.v1.usage_service_pb2 import GetUsageRequest

from services.chassis.errors import FailedPrecondition, NotFound
from services.chassis.machine.caller import refuse_beyond_quota, used_up
from ui.gateway.access.caller import known_caller
from ui.gateway.access.workspaces.workspace import USES, Resource, Use, Workspace, used_up_sentences
from ui.gateway.access.workspaces.workspaces import Workspaces

if TYPE_CHECKING:
    from drillyard.usage.v1.usage_service_pb2_grpc import UsageServiceAsyncStub


class Quotas:
    """What workspaces use, and whether there is room for more.

    The gateway decides, and tells the service with the call; that refuses what it would make new, so that a repeated
    request is answered as before. Of two gateways each may let one through that leaves room for one alone.

    Attributes:
        services: Who is asked for what is used; all must answer.
    """

    def __init__(self, workspaces: Workspaces) -> None:
        self.services: Mapping[str, UsageServiceAsyncStub] = {}
        self._workspaces = workspaces
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def use(self) -> dict[str, Use]:
        """Return what each workspace uses of all services together.

        Raises:
            Unavailable: A service is away.
        """
        answers = await asyncio.gather(*(service.GetUsage(GetUsageRequest()) for service in self.services.values()))
        total: defaultdict[str, Use] = defaultdict(Use)
        for entry in (entry for answer in answers for entry in answer.workspaces):
            total[entry.workspace_id] += Use(entry.num_jobs, entry.num_tokens, entry.num_bytes)
        return total

    @asynccontextmanager
    async def told(self, method: str) -> AsyncIterator[None]:
        """Tell the service that an RPC calls in the block whether a quota of the caller's workspace is used up.

        Raises:
            FailedPrecondition: The workspace was deleted.
            Unavailable: A service that counts does not answer.
        """
        resources = USES.get(method)
        if not resources:
            yield
            return
        workspace = await self._workspace(known_caller.get().workspace_id)
        limited = [resource for resource in Resource if resource in resources and workspace.quota_of(resource)]
        async with self._turn(workspace, limited):
            sentences = await self._used_up(workspace, limited) if limited else ""
            token = used_up.set(sentences)
            try:
                yield
            finally:
                used_up.reset(token)

    def admitted(self, generate: Callable[..., Any]) -> Callable[..., AsyncIterator[Any]]:
        """Return the RPC that generates, refused with QuotaExceeded where its workspace has used up its tokens."""

        async def answers(request: Any, **options: Any) -> AsyncIterator[Any]:
            async with self.told("Generate"):
                refuse_beyond_quota()
            async with aclosing(generate(request, **options)) as stream:
                async for answer in stream:
                    yield answer

        return answers

    async def _used_up(self, workspace: Workspace, resources: Collection[Resource]) -> str:
        use = (await self.use()).get(workspace.workspace_id, Use())
        sentences = (used_up_sentences(workspace, use, resource) for resource in resources)
        return next(filter(None, sentences), "")

    def _turn(self, workspace: Workspace, limited: Collection[Resource]) -> AbstractAsyncContextManager[Any]:
        # Between counting jobs and making one nobody else makes one.
        return self._turns[workspace.workspace_id] if Resource.JOBS in limited else nullcontext()

    async def _workspace(self, workspace_id: str) -> Workspace:
        try:
            return await self._workspaces.get(workspace_id)
        except NotFound as error:
            # Its quotas are unknown, so nothing is made in it.
            raise FailedPrecondition(error.problem, error.next_step) from None
