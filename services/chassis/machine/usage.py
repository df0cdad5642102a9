"""What workspaces use of a service: jobs, tokens and bytes, counted here and told to the gateway."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import grpc.aio
import structlog
from drillyard.usage.v1 import usage_service_pb2 as pb
from drillyard.usage.v1 import usage_service_pb2_grpc as rpc
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.chassis.database import Database, insert_if_absent
from services.chassis.errors import ServiceError
from services.chassis.jobs.job import JOB_CALLER, OWNED_STATES, JobState
from services.chassis.jobs.runner import JobRunner
from services.chassis.jobs.tables import JOBS, WORKSPACE_TOKENS
from services.chassis.machine.caller import current_workspace
from services.chassis.machine.webhooks.subscriptions import DELIVERY_KIND, SUBSCRIPTION_KIND
from services.chassis.server import Server

_SERVICE_NAME = "drillyard.usage.v1.UsageService"
_UNFINISHED = sorted(map(str, OWNED_STATES | {JobState.QUEUED}))
_WRITE_SECONDS = 1.0
_log = structlog.get_logger()


async def add_tokens(session: AsyncSession, workspace_id: str, num_tokens: int) -> None:
    """Count tokens that a workspace had generated or trained, in the transaction that stores what came of them."""
    c, place = WORKSPACE_TOKENS.c, {"workspace_id": workspace_id, "month": _month()}
    await insert_if_absent(session, WORKSPACE_TOKENS, {**place, "num_tokens": 0})
    counter = update(WORKSPACE_TOKENS).where(c.workspace_id == workspace_id, c.month == place["month"])
    await session.execute(counter.values(num_tokens=c.num_tokens + num_tokens))


class Usage(rpc.UsageServiceServicer):
    """Says what workspaces use.

    Attributes:
        uncounted_kinds: Kinds of jobs that take none of the places that a workspace has.
        kept_bytes: Returns the bytes that the service keeps for each workspace; a service that keeps versions sets it.
    """

    def __init__(self, database: Database, runner: JobRunner) -> None:
        self.uncounted_kinds: frozenset[str] = frozenset()
        self.kept_bytes: Callable[[], Awaitable[Mapping[str, int]]] | None = None
        self._database, self._runner = database, runner
        self._noted: Counter[str] = Counter()
        self._turn = asyncio.Lock()

    def serve_at(self, server: Server) -> None:
        """Answer calls that ask for it."""
        server.add_servicer(rpc.add_UsageServiceServicer_to_server, self, _SERVICE_NAME)

    def note_tokens(self, num_tokens: int) -> None:
        """Count tokens of the present call's workspace, of which nothing is stored; a killed service loses a second."""
        self._noted[current_workspace.get()] += num_tokens

    async def keep_writing(self) -> None:
        """Store what was noted, once a second, until it is cancelled."""
        while True:
            await asyncio.sleep(_WRITE_SECONDS)
            try:
                await self.write()
            except ServiceError as error:
                _log.warning("usage_waits", reason=error.problem)

    async def write(self) -> None:
        """Store what was noted; while the database is away it stays noted."""
        # Whoever reads next must find what another one is writing.
        async with self._turn:
            if not self._noted:
                return
            noted, self._noted = self._noted, Counter()
            try:
                async with self._database.session() as session:
                    for workspace_id, num_tokens in sorted(noted.items()):
                        await add_tokens(session, workspace_id, num_tokens)
            except BaseException:
                self._noted.update(noted)
                raise

    async def GetUsage(
        self, request: pb.GetUsageRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.GetUsageResponse:
        """Say what each workspace uses now."""
        await self.write()
        kept = await self.kept_bytes() if self.kept_bytes else {}
        jobs, tokens = await self._jobs_and_tokens()
        names = sorted({*jobs, *tokens, *kept})
        return pb.GetUsageResponse(
            workspaces=[
                pb.WorkspaceUsage(
                    workspace_id=name,
                    num_jobs=jobs.get(name, 0),
                    num_tokens=tokens.get(name, 0),
                    num_bytes=kept.get(name, 0),
                )
                for name in names
            ]
        )

    async def _jobs_and_tokens(self) -> tuple[dict[str, int], dict[str, int]]:
        # Kinds and states are both named, so that an index leads past what has ended.
        # What tells of jobs is work of the service, whosever the address is.
        uncounted = self.uncounted_kinds | {DELIVERY_KIND, SUBSCRIPTION_KIND}
        c, kinds = JOBS.c, sorted({*self._runner.kinds} - uncounted)
        unfinished = c.kind.in_(kinds) & c.state.in_(_UNFINISHED)
        own = unfinished & ~c.caller.startswith(JOB_CALLER)
        jobs = select(c.workspace_id, func.count()).where(own).group_by(c.workspace_id)
        this_month = WORKSPACE_TOKENS.c.month == _month()
        tokens = select(WORKSPACE_TOKENS.c.workspace_id, WORKSPACE_TOKENS.c.num_tokens).where(this_month)
        async with self._database.reading() as session:
            rows = [(await session.execute(query)).all() for query in (jobs, tokens)]
        of_jobs, of_tokens = ({str(name): int(num) for name, num in counts} for counts in rows)
        return of_jobs, of_tokens


def _month() -> str:
    return f"{datetime.now(UTC):%Y-%m}"
